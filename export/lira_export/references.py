"""What the eager models compute, once for all targets: samples for every component, and one whole drawing."""

from dataclasses import dataclass, field

from lira.sources import Models
from lira_export.components import Component
from lira_export.digests import module_digest
from lira_export.drawing import Drawing, draw
from lira_export.eager import eager_pipeline
from lira_export.parity import PROMPTS, Sample, reference_samples
from lira_export.target import Resolution
from lira_runtime.bundle import Bundle
from lira_runtime.interface import COMPONENTS, IMAGE_ENCODER, TEXT_ENCODER, interface
from lira_runtime.pipeline import Request

DRAWN = Request(PROMPTS[0], seed=0)
"""The drawing that every bundle repeats, with its own steps and guidance."""


@dataclass
class References:
    """Eager's answers for `models` at the resolutions (px) of a bundle; computed when first asked for."""

    models: Models
    resolutions: tuple[int, ...]
    _samples: dict[tuple[int, str], list[Sample]] = field(default_factory=dict)
    _drawing: Drawing | None = None
    _digests: dict[str, str] = field(default_factory=dict)

    def samples(self, component: str) -> dict[Resolution, list[Sample]]:
        """A component's samples by resolution; the text encoder's by None."""
        by_text = component == TEXT_ENCODER
        return {
            None if by_text else resolution: self._samples_at(resolution, component)
            for resolution in (self.resolutions[:1] if by_text else self.resolutions)
        }

    def _samples_at(self, resolution: int, component: str) -> list[Sample]:
        if (resolution, component) not in self._samples:
            every = _without_twins(self.models, resolution)
            self._samples[resolution, component] = reference_samples(every, wanted=(component,))[component]
        return self._samples[resolution, component]

    def digest(self, role: str) -> str:
        """SHA-256 of the eager module in a component's role."""
        if role not in self._digests:
            self._digests[role] = module_digest(getattr(self.models, role))
        return self._digests[role]

    def drawing(self, bundle: Bundle) -> Drawing:
        """Eager's drawing of `DRAWN` with a bundle's sampler, at its first resolution."""
        if self._drawing is None:
            self._drawing = draw(eager_pipeline(bundle, self.models), DRAWN)
        return self._drawing


def _without_twins(models: Models, resolution: int) -> dict[str, Component]:
    """The components by name, with the eager modules as their own twins: nothing is traced, so nothing is built."""
    specs = interface(models.kind.shape(resolution, resolution), models.kind.scale, models.text_encoder.width)
    names = (*COMPONENTS, *([IMAGE_ENCODER] if models.image_encoder is not None else []))
    return {name: Component(name, *2 * (getattr(models, name),), *specs[name]) for name in names}
