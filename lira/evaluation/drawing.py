"""Draw prompts, one picture each, with a bundle or with the eager model: prompt i from the noise of seed i."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.session import SessionSettings
from lira_runtime.bundle import Bundle
from lira_runtime.manifest import Component
from lira_runtime.pipeline import ImageReady, Pipeline, Request

Picture = NDArray[np.uint8]
Draw = Callable[[Sequence[str]], Iterator[Picture]]


@dataclass(frozen=True)
class Options:
    """Sampler settings; None means the default of what draws. threads: 0 chooses for this machine."""

    steps: int | None = None
    guidance: float | None = None
    threads: int = 0


@dataclass(frozen=True)
class Artist:
    """Something that draws: its name for tables, the settings in use, and a function that yields pictures in order."""

    name: str
    settings: dict[str, Any]
    draw: Draw


class KeptGraphs:
    """A `Backend` that keeps every graph it has loaded: hundreds of pictures pay for loading once."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._kept: dict[Path, OnnxBackend] = {}
        self._current: OnnxBackend | None = None

    def load(self, component: Component, graph: Path) -> None:
        """Choose a graph, loading it where it is new; raises DamagedBundle as `OnnxBackend` does."""
        if graph not in self._kept:
            backend = OnnxBackend(self._settings)
            backend.load(component, graph)
            self._kept[graph] = backend
        self._current = self._kept[graph]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the chosen graph."""
        if self._current is None:
            raise RuntimeError("load a graph before running it")
        return self._current.run(inputs)

    def unload(self) -> None:
        """Choose no graph; all stay in memory as long as this object lives."""
        self._current = None


def bundle_artist(path: Path, options: Options) -> Artist:
    """Draws through the runtime's pipeline. Raises BadInput or DamagedBundle for a bundle that cannot draw."""
    bundle = Bundle.open(path)
    pipeline = Pipeline(bundle, KeptGraphs(SessionSettings(options.threads)))
    settings = pipeline.settings(Request("a", steps=options.steps, guidance=options.guidance))

    def draw(prompts: Sequence[str]) -> Iterator[Picture]:
        for seed, prompt in enumerate(prompts):
            request = Request(prompt, seed=seed, steps=options.steps, guidance=options.guidance)
            for event in pipeline.generate(request):
                if isinstance(event, ImageReady):
                    yield event.image

    recipe = bundle.component("denoiser").recipe
    used = {"bundle": bundle.digest, "recipe": recipe, "steps": settings.steps, "guidance": settings.guidance}
    return Artist(f"{path.name} ({recipe})", used, draw)
