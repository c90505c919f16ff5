"""Recipes: what a denoiser's training does, as typed TOML files (lira/recipes/), every value overridable.

`resolve("demo", ["optimiser.rate=1e-3", "stages.0.batch=16"])` reads, overrides and checks; the result is stored as
JSON with the checkpoint.
"""

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from lira.flow import TimeDistribution
from lira.latents import latent_kind
from lira.presets import get_preset
from lira_runtime.errors import BadInput, LiRAError

MOST = 2**31 - 1
"""Largest count and seed: a seed is mixed with a step's number into 63 bits."""
Count = Annotated[int, Meta(ge=1, le=MOST)]
NotNegative = Annotated[int, Meta(ge=0, le=MOST)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
LogSNR = Annotated[float, Meta(ge=-30, le=30)]
AnyRecipe = TypeVar("AnyRecipe", bound=Struct)


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """What is trained, and in which latent space."""

    preset: str
    latent: str

    def __post_init__(self) -> None:
        try:
            get_preset(self.preset)
            latent_kind(self.latent)
        except LiRAError as error:
            raise ValueError(str(error)) from error


class Stage(Struct, frozen=True, forbid_unknown_fields=True):
    """One resolution of the progressive training."""

    resolution: Count
    """Side of the pictures, in px."""
    steps: Count
    batch: Count
    """Samples a step, over all processes."""
    data: str = ""
    """Encoded folder, below the recipe's `data`."""


class Times(Struct, frozen=True, forbid_unknown_fields=True):
    """Laplace times over log-SNR, a share of them uniform, and the curriculum: near noise first."""

    mu: LogSNR
    b: Positive
    uniform_share: Share
    mu_start: LogSNR
    curriculum_steps: NotNegative
    """Steps over which the location moves linearly from `mu_start` to `mu`."""

    def at(self, step: int) -> TimeDistribution:
        """The distribution that step `step` (from 0) draws from."""
        share = min(1.0, step / self.curriculum_steps) if self.curriculum_steps else 1.0
        return TimeDistribution(self.mu_start + share * (self.mu - self.mu_start), self.b, self.uniform_share)


class Optimiser(Struct, frozen=True, forbid_unknown_fields=True):
    """AdamW with warm-up, cosine and clipping; the average of the weights."""

    rate: Positive
    """Peak learning rate."""
    betas: tuple[Annotated[float, Meta(ge=0, lt=1)], Annotated[float, Meta(ge=0, lt=1)]] = (0.9, 0.98)
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 0.01
    clip: Positive = 1.0
    """Largest gradient norm of a step."""
    warmup_steps: NotNegative = 1000
    ema_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.9999


def check_warmup(optimiser: Optimiser, steps: int) -> None:
    """Raise ValueError unless the warm-up ends before the run does: for the recipes' own checks."""
    if optimiser.warmup_steps >= steps:
        raise ValueError(f"optimiser.warmup_steps is {optimiser.warmup_steps}, not below the run's {steps} steps")


class Objective(Struct, frozen=True, forbid_unknown_fields=True):
    """What the loss is made of besides the velocity."""

    caption_dropout: Share = 0.1
    """Share of the captions replaced by the empty one, for guidance."""
    halting_weight: Annotated[float, Meta(ge=0, le=1e6)] = 0.01
    halt_probability: Annotated[float, Meta(gt=0, lt=1)] = 0.4
    """Of the geometric prior over reasoning steps."""


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """How it is run and watched; the intervals are steps."""

    bf16: bool = True
    seed: NotNegative = 0
    save_every: Count = 1000
    log_every: Count = 20


class DenoiserRun(Run, frozen=True, forbid_unknown_fields=True):
    """A denoiser can draw samples as it learns."""

    sample_every: NotNegative = 0
    """0 draws no samples."""


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a run, but the number of processes."""

    model: Model
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1)]
    times: Times
    optimiser: Optimiser
    objective: Objective
    run: DenoiserRun
    data: str = ""
    """Encoded folder, or the parent of the stages' folders."""

    def __post_init__(self) -> None:
        check_warmup(self.optimiser, self.steps)

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """The stage of step `step` (from 0), and the number of that step within it; the last stage has no end."""
        for stage in self.stages[:-1]:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        return self.stages[-1], step

    def json(self) -> str:
        """The whole recipe as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def recipe_names(kind: type[Struct]) -> list[str]:
    """Names of the recipes of one kind that come with the package."""
    files = [file for file in (resources.files("lira") / "recipes").iterdir() if file.name.endswith(".toml")]
    return sorted(file.name.removesuffix(".toml") for file in files if _is_a(kind, file.read_text(encoding="utf-8")))


def _is_a(kind: type[Struct], text: str) -> bool:
    try:
        msgspec.convert(tomllib.loads(text), kind)
    except msgspec.ValidationError:
        return False
    return True


def resolve(source: str, overrides: Sequence[str] = ()) -> Recipe:
    """The denoiser's recipe of a name or of a .toml file, with `section.key=value` overrides. Raises BadInput."""
    return resolve_as(Recipe, source, overrides)


def resolve_as(kind: type[AnyRecipe], source: str, overrides: Sequence[str] = ()) -> AnyRecipe:
    """`resolve` for recipes of any kind. Raises BadInput."""
    path = Path(source) if source.endswith(".toml") else resources.files("lira") / "recipes" / f"{source}.toml"
    if not source.endswith(".toml") and source not in (names := recipe_names(kind)):
        raise BadInput(f"Unknown recipe '{source}': choose one of {', '.join(names)}, or name a .toml file.")
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"No recipe at {source}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"Recipe {source} is no readable TOML: {error}.") from error
    return _checked(kind, tree, overrides, source)


def stored(kind: type[AnyRecipe], text: str | bytes, source: str | Path, overrides: Sequence[str] = ()) -> AnyRecipe:
    """The recipe of one kind that a run keeps as JSON, with overrides. Raises BadInput."""
    try:
        tree = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise BadInput(f"The recipe in {source} is damaged: {error}.") from error
    try:
        msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"The recipe in {source} is of another training ({error}): choose another folder.") from error
    return _checked(kind, tree, overrides, str(source))


def _checked(kind: type[AnyRecipe], tree: dict[str, Any], overrides: Sequence[str], source: str) -> AnyRecipe:
    for override in overrides:
        _override(kind, tree, override)
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"Recipe {source}{' with its overrides' if overrides else ''}: {error}.") from error


def _override(kind: type[Struct], tree: dict[str, Any], override: str) -> None:
    """Set one value in place; a value that is no TOML literal is a string."""
    name, separator, text = override.partition("=")
    keys = name.split(".")
    if not separator or not all(keys):
        raise BadInput(f"--set takes section.key=value, not '{override}'.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    branch: Any = tree
    for depth, key in enumerate(keys, 1):
        if not isinstance(branch, dict | list):
            raise BadInput(f"--set {name}: '{'.'.join(keys[: depth - 1])}' is a value, not a section.")
        index: Any = int(key) if isinstance(branch, list) and key.isdecimal() else key
        known = _known(kind, keys[: depth - 1]) if isinstance(branch, dict) else range(len(branch))
        if index not in known:
            choice = ", ".join(map(str, known))
            raise BadInput(f"--set {name}: the recipe has no '{'.'.join(keys[:depth])}'; choose one of {choice}.")
        if depth == len(keys):
            branch[index] = value
        else:
            branch = branch[index] if isinstance(branch, list) else branch.setdefault(index, {})


def _known(kind: type[Struct], keys: Sequence[str]) -> list[str]:
    """Names of the fields of the section `keys` of a recipe, in which a number stands for an entry of a list."""
    section: Any = msgspec.inspect.type_info(kind)
    for key in keys:
        if isinstance(section, msgspec.inspect.VarTupleType):
            section = section.item_type
        else:
            section = next((field.type for field in getattr(section, "fields", ()) if field.name == key), None)
    return [field.name for field in getattr(section, "fields", ())]
