"""Prompt to image in three stages, with one graph in memory at a time.

The pipeline is a generator of typed events, so that the caller owns progress and cancelling: it stops at the next
step when the generator is closed, and then nothing stays loaded.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lira_runtime import sampler
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.protocol import Backend
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, ParityLost
from lira_runtime.manifest import PROMPT_TOKENS
from lira_runtime.memory import PeakMeter, Source, release
from lira_runtime.noise import check_seed, initial_noise
from lira_runtime.tokenizer import ClipTokenizer, Tokens

PIXEL_ROWS = 32
Result = TypeVar("Result")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """One image to make; None means the bundle's own default.

    cut: draw the beginning of a prompt that is longer than the text encoder reads, instead of refusing it.
    seed: 0 <= seed < 2^64; steps: 1..1000; guidance: 0..100 (1 is none); method: "dpm" or "euler"; shift: time shift.
    """

    prompt: str
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    method: str | None = None
    shift: float | None = None
    cut: bool = False


@dataclass(frozen=True)
class Settings:
    """A request with the bundle's defaults filled in, and checked."""

    prompt: str
    seed: int
    guidance: float
    method: str
    sigmas: list[float]

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return len(self.sigmas) - 1


@dataclass(frozen=True)
class PromptCut:
    """The prompt was longer than the text encoder reads; `dropped` is the tail that has no effect."""

    dropped: str


@dataclass(frozen=True)
class StageStarted:
    """A stage ("text_encoder", "denoiser", "decoder") begins to load its graph."""

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

    image: NDArray[np.uint8]
    latent: Floats


Event = PromptCut | StageStarted | DenoisingStep | StageFinished | ImageReady
Stage = Generator[Event, None, Result]


class Pipeline:
    """Runs a whole bundle; raises BadInput for a partial one."""

    def __init__(self, bundle: Bundle, backend: Backend | None = None) -> None:
        bundle.require_whole()
        self._bundle = bundle
        self._backend = backend if backend is not None else OnnxBackend()
        self._tokenizer = ClipTokenizer.load(bundle.tokenizer_path())

    def settings(self, request: Request) -> Settings:
        """Fill in the bundle's defaults and check everything; raises BadInput."""
        defaults = self._bundle.manifest.sampler
        method = defaults.method if request.method is None else request.method
        guidance = defaults.guidance if request.guidance is None else request.guidance
        steps = defaults.steps if request.steps is None else request.steps
        shift = defaults.shift if request.shift is None else request.shift
        if not request.prompt.strip():
            raise BadInput("the prompt is empty; say what to draw.")
        check_seed(request.seed)
        sampler.check_method(method)
        sampler.check_guidance(guidance)
        return Settings(request.prompt, request.seed, guidance, method, sampler.shifted_sigmas(steps, shift))

    def generate(self, request: Request) -> Iterator[Event]:
        """Check the request at once (BadInput), then return a generator of events that ends with ImageReady.

        While it runs it raises DamagedBundle for a graph that does not load or stored text states that are no numbers,
        ParityLost for values that are not finite.
        """
        settings = self.settings(request)
        tokens = self._tokenizer.encode(settings.prompt)
        if tokens.truncated and not request.cut:
            raise BadInput(
                f"the prompt is longer than the {PROMPT_TOKENS - 2} tokens that the text encoder reads, it would lose "
                f"{shorten(tokens.dropped, 60)!r}; shorten it or ask for it to be cut (--cut)."
            )
        return self._events(settings, tokens)

    def _events(self, settings: Settings, tokens: Tokens) -> Iterator[Event]:
        if tokens.truncated:
            yield PromptCut(tokens.dropped)
        text, empty = yield from self._stage("text_encoder", lambda: self._encode(tokens, settings))
        latent = yield from self._stage("denoiser", lambda: self._denoise(settings, text, empty))
        image = yield from self._stage("decoder", lambda: self._decode(latent))
        yield ImageReady(image, latent)

    def _stage(self, name: str, work: Callable[[], Stage[Result]]) -> Stage[Result]:
        yield StageStarted(name)
        with PeakMeter() as meter:
            try:
                self._backend.load(self._bundle.component(name), self._bundle.graph(name))
                result = yield from work()
            finally:
                self._backend.unload()
                release()
        yield StageFinished(name, meter.seconds, meter.peak_bytes, meter.source)
        return result

    def _encode(self, tokens: Tokens, settings: Settings) -> Stage[tuple[Floats, Floats]]:
        yield from ()
        text = self._run("text_encoder", {"input_ids": tokens.ids})["text_states"]
        return text, text if settings.guidance == 1.0 else self._bundle.empty_prompt()

    def _denoise(self, settings: Settings, text: Floats, empty: Floats) -> Stage[Floats]:
        reasoning_steps = 0

        def velocity(x: Floats, sigma: float, states: Floats) -> Floats:
            nonlocal reasoning_steps
            timestep = np.array([sigma], dtype=np.float32)
            outputs = self._run("denoiser", {"latent": x, "timestep": timestep, "text_states": states})
            if states is text:
                reasoning_steps = int(outputs["reasoning_steps"][0])
            return outputs["velocity"]

        x = initial_noise(settings.seed, self._bundle.manifest.latent_shape)
        guided = sampler.guided(velocity, text, empty, settings.guidance)
        for step in sampler.sample(guided, x, settings.sigmas, settings.method):
            yield DenoisingStep(step.index, settings.steps, step.sigma, step.x0, reasoning_steps)
            x = step.x
        return x

    def _decode(self, latent: Floats) -> Stage[NDArray[np.uint8]]:
        yield from ()
        return _pixels(self._run("decoder", {"latent": latent})["image"])

    def _run(self, component: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs = self._backend.run(inputs)
        for name, value in outputs.items():
            if not np.isfinite(value).all():
                raise ParityLost(f"the {component} returned {name} with values that are not finite numbers.")
        return outputs


def _pixels(image: Floats) -> NDArray[np.uint8]:
    """(1, 3, H, W) of about [0, 1] -> (H, W, 3) of 0 to 255, a few rows at a time: the copies stay small."""
    _, _, height, width = image.shape
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, PIXEL_ROWS):
        rows = slice(top, top + PIXEL_ROWS)
        levels = np.clip(image[0, :, rows], 0.0, 1.0) * 255.0 + 0.5
        pixels[rows] = levels.transpose(1, 2, 0)
    return pixels
