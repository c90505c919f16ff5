"""Prompt to image in three stages, four where it starts from a picture, with one graph in memory at a time.

The pipeline is a generator of typed events, so that the caller owns progress and cancelling: it stops at the next
step when the generator is closed, and then nothing stays loaded.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lira_runtime import sampler
from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.protocol import Backend
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, ParityLost
from lira_runtime.image import Pixels, from_pixels, to_pixels
from lira_runtime.interface import IMAGE_ENCODER, PROMPT_TOKENS
from lira_runtime.memory.meter import PeakMeter, Source, release
from lira_runtime.noise import check_seed, initial_noise
from lira_runtime.prompt import check_prompt
from lira_runtime.tokenizer import ClipTokenizer, Tokens

MOST_SAID = 60
"""Characters of what a prompt would lose that a message quotes."""
USUAL_STRENGTH = 0.6
Result = TypeVar("Result")
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Request:
    """One image to make; None means the bundle's own default.

    cut: draw the beginning of a prompt that is longer than the text encoder reads, instead of refusing it.
    seed: 0 <= seed < 2^64; steps: 1..1000; guidance: 0..100 (1 is none); method: "dpm" or "euler"; shift: time shift.
    picture: uint8 (H, W, 3) in RGB to start from, of the bundle's resolution (`image.read_picture`).
    strength: share of the steps that are run on it, 0 < strength <= 1; 1 leaves nothing of the picture. Default 0.6.
    """

    prompt: str
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    method: str | None = None
    shift: float | None = None
    cut: bool = False
    picture: Pixels | None = None
    strength: float | None = None


@dataclass(frozen=True)
class Settings:
    """A request with the bundle's defaults filled in, and checked."""

    prompt: str
    seed: int
    guidance: float
    method: str
    steps: int
    sigmas: list[float]
    """Noise levels of the steps to run: the last ones of the schedule where the drawing starts from a picture."""
    strength: float | None = None
    """None without a picture."""

    @property
    def steps_to_run(self) -> int:
        """Number of denoising steps that are run; `steps` counts the whole schedule."""
        return len(self.sigmas) - 1


@dataclass(frozen=True)
class PromptCut:
    """The prompt was longer than the text encoder reads; `dropped` is the tail that has no effect."""

    dropped: str


@dataclass(frozen=True)
class StageStarted:
    """A stage ("text_encoder", "image_encoder", "denoiser", "decoder") begins to load its graph."""

    stage: str


@dataclass(frozen=True)
class DenoisingStep:
    """One step done (index counts from 0): x0 float32 (1, C, H, W) is the clean latent as predicted now.

    reasoning_steps: steps the latent reasoning loop took for the prompt.
    """

    index: int
    total: int
    sigma: float
    x0: Floats
    reasoning_steps: int


@dataclass(frozen=True)
class StageFinished:
    """A stage has unloaded: wall-clock seconds and peak resident bytes of the whole process while it ran."""

    stage: str
    seconds: float
    peak_bytes: int
    source: Source


@dataclass(frozen=True)
class ImageReady:
    """The result: image uint8 (H, W, 3) in RGB, latent float32 (1, C, H, W)."""

    image: Pixels
    latent: Floats


Event = PromptCut | StageStarted | DenoisingStep | StageFinished | ImageReady
Stage = Generator[Event, None, Result]


class Pipeline:
    """Runs a whole bundle at one of its resolutions (px), the first where none is named.

    keep_tokenizer: for many prompts; its tables are 15 MB, and else read for each and dropped before the first stage.
    Raises BadInput for a partial bundle, a resolution that it lacks, or a target that does not run here.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend | None = None,
        resolution: int | None = None,
        keep_tokenizer: bool = False,
    ) -> None:
        bundle.require_whole()
        self._bundle = bundle
        self._resolution = bundle.resolution(resolution)
        self._backend = backend if backend is not None else backend_for(bundle.manifest.target)
        self._tokenizer = self._load_tokenizer() if keep_tokenizer else None

    def _load_tokenizer(self) -> ClipTokenizer:
        return ClipTokenizer.load(self._bundle.tokenizer_path())

    def settings(self, request: Request) -> Settings:
        """Fill in the bundle's defaults and check everything; raises BadInput."""
        defaults = self._bundle.manifest.sampler
        method = defaults.method if request.method is None else request.method
        guidance = defaults.guidance if request.guidance is None else request.guidance
        steps = defaults.steps if request.steps is None else request.steps
        shift = defaults.shift if request.shift is None else request.shift
        check_prompt(request.prompt)
        check_seed(request.seed)
        sampler.check_method(method)
        sampler.check_guidance(guidance)
        sigmas, strength = sampler.shifted_sigmas(steps, shift), self._strength(request)
        if strength is not None:
            sigmas = sampler.last_levels(sigmas, strength)
        return Settings(request.prompt, request.seed, guidance, method, steps, sigmas, strength)

    def _strength(self, request: Request) -> float | None:
        if request.picture is None:
            if request.strength is not None:
                raise BadInput("a strength needs a picture to start from (--image).")
            return None
        if not self._bundle.holds(IMAGE_ENCODER):
            raise BadInput(
                f"the bundle {self._bundle.path} holds no image encoder, so it cannot start from a picture; "
                "export it with --with-encoder or --encoder DIR."
            )
        side = self._resolution
        if request.picture.shape != (side, side, 3) or request.picture.dtype != np.uint8:
            raise BadInput(f"the picture to start from must be RGB of 8 bits and {side} x {side} px.")
        return USUAL_STRENGTH if request.strength is None else request.strength

    def generate(self, request: Request) -> Iterator[Event]:
        """Check the request at once (BadInput), then return a generator of events that ends with ImageReady.

        Raises DamagedBundle for a tokenizer that is none. While it runs it raises DamagedBundle for a graph that does
        not load or stored text states that are no numbers, ParityLost for values that are not finite.
        """
        settings = self.settings(request)
        tokens = (self._tokenizer or self._load_tokenizer()).encode(settings.prompt)
        release()
        if tokens.truncated and not request.cut:
            raise BadInput(
                f"the prompt is longer than the {PROMPT_TOKENS - 2} tokens that the text encoder reads, it would lose "
                f"{_beginning(tokens.dropped)!r}; shorten it, or draw its beginning with lira-generate --cut."
            )
        return self._events(settings, tokens, request.picture)

    def _events(self, settings: Settings, tokens: Tokens, picture: Pixels | None) -> Iterator[Event]:
        if tokens.truncated:
            yield PromptCut(tokens.dropped)
        text, empty = yield from self._stage("text_encoder", lambda: self._encode(tokens, settings))
        clean = None
        if picture is not None:
            clean = yield from self._stage(IMAGE_ENCODER, lambda: self._encode_picture(picture))
        latent = yield from self._stage("denoiser", lambda: self._denoise(settings, clean, text, empty))
        image = yield from self._stage("decoder", lambda: self._decode(latent))
        yield ImageReady(image, latent)

    def _stage(self, name: str, work: Callable[[], Stage[Result]]) -> Stage[Result]:
        """Load, work, unload. What `work` returns must be memory of its own: an engine's output keeps its workspace."""
        yield StageStarted(name)
        with PeakMeter() as meter:
            try:
                self._backend.load(self._bundle.graph(name, self._resolution), self._bundle.path)
                result = yield from work()
            finally:
                self._backend.unload()
                release()
        yield StageFinished(name, meter.seconds, meter.peak_bytes, meter.source)
        return result

    def _encode(self, tokens: Tokens, settings: Settings) -> Stage[tuple[Floats, Floats]]:
        yield from ()
        text = self._run("text_encoder", {"input_ids": tokens.ids})["text_states"].copy()  # see `_stage`
        return text, text if settings.guidance == 1.0 else self._bundle.empty_prompt()

    def _encode_picture(self, picture: Pixels) -> Stage[Floats]:
        yield from ()
        return self._run(IMAGE_ENCODER, {"image": from_pixels(picture)})["latent"].copy()

    def _denoise(self, settings: Settings, clean: Floats | None, text: Floats, empty: Floats) -> Stage[Floats]:
        """clean: the latent to start from, where the drawing starts from a picture."""
        # The denoiser is loaded, so its latent has the manifest's shape: a forged manifest gets no memory for another.
        x = initial_noise(settings.seed, self._bundle.manifest.latent_shape(self._resolution))
        if clean is not None:
            x = sampler.noised(clean, x, settings.sigmas[0])
        reasoning_steps = 0

        def velocity(x: Floats, sigma: float, states: Floats) -> Floats:
            nonlocal reasoning_steps
            timestep = np.array([sigma], dtype=np.float32)
            outputs = self._run("denoiser", {"latent": x, "timestep": timestep, "text_states": states})
            if states is text:
                reasoning_steps = int(outputs["reasoning_steps"][0])
            return outputs["velocity"]

        guided = sampler.guided(velocity, text, empty, settings.guidance)
        for step in sampler.sample(guided, x, settings.sigmas, settings.method):
            yield DenoisingStep(step.index, settings.steps_to_run, step.sigma, step.x0, reasoning_steps)
            x = step.x
        return x

    def _decode(self, latent: Floats) -> Stage[Pixels]:
        yield from ()
        return to_pixels(self._run("decoder", {"latent": latent})["image"])

    def _run(self, component: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs = self._backend.run(inputs)
        for name, value in outputs.items():
            if not np.isfinite(value).all():
                raise ParityLost(
                    f"the {component} returned {name} with values that are not finite numbers.", "not_finite"
                )
        return outputs


def _beginning(text: str) -> str:
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}..."
