"""The eager models that a bundle was exported from, built again from what its manifest says."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from lira.sources import TURBO, Models, Request, load_models
from lira.text import TEXT_PRESETS
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput
from lira_runtime.interface import IMAGE_ENCODER


def models_of(bundle: Bundle, checkpoint: Path | None) -> Models:
    """Load them; checkpoint: where their weights lie, None for committed ones and those from a seed.

    Raises:
        BadInput: they need a checkpoint, or what can be built here has another digest than the bundle's source.
    """
    source = bundle.manifest.source
    if source.weights == "checkpoint" and checkpoint is None:
        raise BadInput(f"{bundle.path} was exported from a checkpoint; name it with --checkpoint DIR.")
    for request in _requests(bundle, checkpoint):
        models = load_models(request)
        if models.source.digest == source.digest:
            return models
    there = "this version builds" if checkpoint is None else f"{checkpoint} holds"
    raise BadInput(f"{bundle.path} was exported from other weights than those that {there}.")


def _requests(bundle: Bundle, checkpoint: Path | None) -> Iterator[Request]:
    """What may have been asked for when the bundle was exported."""
    manifest = bundle.manifest
    places = [checkpoint]
    if checkpoint is None and manifest.source.weights == "demo":
        places.append(Path(TURBO))
    for place, text_preset in product(places, _text_presets(bundle)):
        yield Request(
            manifest.preset,
            manifest.latent.name,
            manifest.resolutions[0],
            text_preset,
            place,
            manifest.source.seed or 0,
            with_encoder=bundle.holds(IMAGE_ENCODER),
        )


def _text_presets(bundle: Bundle) -> Sequence[str | None]:
    """The preset whose states are as wide as the bundle's. Raises BadInput where there is none.

    A decoder alone does not know the width: None, what the weights say of themselves, and every preset for a seed.
    """
    graphs = [graph for component in bundle.manifest.components for graph in component.graphs]
    widths = {each.shape[-1] for graph in graphs for each in graph.inputs + graph.outputs if each.name == "text_states"}
    if not widths:
        return list(TEXT_PRESETS) if bundle.manifest.source.weights == "seed" else [None]
    for name, preset in TEXT_PRESETS.items():
        if preset.width in widths:
            return [name]
    width = widths.pop()
    raise BadInput(f"{bundle.path} has text states of width {width}, which no text encoder of this version returns.")
