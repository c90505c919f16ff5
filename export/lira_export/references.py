"""What the eager models compute, once for all targets: samples for every component, and one whole drawing."""

from dataclasses import dataclass, field

from lira.sources import Models
from lira_export.components import build_components
from lira_export.digests import module_digest
from lira_export.drawing import Drawing, draw
from lira_export.eager import eager_pipeline
from lira_export.parity import PROMPTS, Sample, reference_samples
from lira_export.target import Resolution
from lira_runtime.bundle import Bundle
from lira_runtime.interface import TEXT_ENCODER
from lira_runtime.pipeline import Request

DRAWN = Request(PROMPTS[0], seed=0)
"""The drawing that every bundle repeats, with its own steps and guidance."""


@dataclass
class References:
    """Eager's answers for `models` at the resolutions (px) of a bundle; computed when first asked for."""

    models: Models
    resolutions: tuple[int, ...]
    _samples: dict[int, dict[str, list[Sample]]] = field(default_factory=dict)
    _drawing: Drawing | None = None
    _digests: dict[str, str] = field(default_factory=dict)

    def samples(self, component: str) -> dict[Resolution, list[Sample]]:
        """A component's samples by resolution; the text encoder's by None."""
        for resolution in self.resolutions:
            if resolution not in self._samples:
                every = {each.name: each for each in build_components(self.models, resolution)}
                self._samples[resolution] = reference_samples(every)
        if component == TEXT_ENCODER:
            return {None: self._samples[self.resolutions[0]][component]}
        return {resolution: self._samples[resolution][component] for resolution in self.resolutions}

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
