"""Draw prompts, one picture each, with a bundle or with the eager model: prompt i from the noise of seed i."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.kept import KeptGraphs
from lira_runtime.backends.session import SessionSettings
from lira_runtime.bundle import Bundle
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


def bundle_artist(path: Path, options: Options) -> Artist:
    """Draws through the runtime's pipeline. Raises BadInput or DamagedBundle for a bundle that cannot draw."""
    bundle = Bundle.open(path)
    threads = SessionSettings(options.threads)
    pipeline = Pipeline(bundle, KeptGraphs(lambda: backend_for(bundle.manifest.target, threads)), keep_tokenizer=True)
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
