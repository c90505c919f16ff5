"""Whole drawings, step by step, by a bundle or by the eager model in its place. Needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_runtime.image import Pixels
from lira_runtime.pipeline import DenoisingStep, ImageReady, Pipeline, Request, StageFinished

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Drawing:
    """x0: the clean latent (1, C, H, W) as predicted after each step; image: uint8 (H, W, 3); stages as they ended."""

    x0: tuple[Floats, ...]
    image: Pixels
    stages: tuple[StageFinished, ...]

    @property
    def seconds(self) -> float:
        """Of all stages, loading included."""
        return sum(stage.seconds for stage in self.stages)


def draw(pipeline: Pipeline, request: Request, on_step: Callable[[], None] = lambda: None) -> Drawing:
    """Draw a request, keeping what every step predicted. Raises as `Pipeline.generate` does."""
    x0, stages, image = [], [], None
    for event in pipeline.generate(request):
        if isinstance(event, DenoisingStep):
            x0.append(event.x0)
            on_step()
        elif isinstance(event, StageFinished):
            stages.append(event)
        elif isinstance(event, ImageReady):
            image = event.image
    assert image is not None, "the pipeline ends with ImageReady"
    return Drawing(tuple(x0), image, tuple(stages))
