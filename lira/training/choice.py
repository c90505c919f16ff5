"""Which recipe a run follows: the named one, the one that the run to go on with keeps, or the default."""

from collections.abc import Sequence
from pathlib import Path

from lira.checkpoint import read_metadata
from lira.training.loop import RECIPE_NAME, STATE_NAME
from lira.training.recipe import AnyRecipe, resolve_as, stored
from lira_runtime.errors import BadInput


def chosen_recipe(
    kind: type[AnyRecipe], name: str | None, overrides: Sequence[str], out: Path, resume: bool, default: str | None
) -> AnyRecipe:
    """The recipe called `name`; without a name the one kept in `out`, to `resume`, or else `default`; with overrides.

    Raises BadInput where there is none, or where the kept one is of another training.
    """
    if name:
        return resolve_as(kind, name, overrides)
    kept = _kept(out) if resume else None
    if kept:
        return stored(kind, *kept, overrides)
    if default:
        return resolve_as(kind, default, overrides)
    if resume:
        raise BadInput(f"{out} holds no recipe yet: name one with --recipe.")
    raise BadInput("Say which recipe: --recipe NAME, or --resume for the one that the run was started with.")


def _kept(out: Path) -> tuple[bytes, Path] | None:
    """A run's recipe as JSON, and where it lies: in its state or, before the first save, beside it."""
    state, beside = out / STATE_NAME, out / RECIPE_NAME
    if state.exists() and (text := read_metadata(state).get("recipe", "")):
        return text.encode(), state
    return (beside.read_bytes(), beside) if beside.exists() else None
