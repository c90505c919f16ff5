"""What somebody does who wants to be believed: files and manifest change, and every hash is made to fit.

Each takes a source of chance and a bundle's folder, changes something there, and says what. The bundle's signature
stays as it was: it is the one thing that nobody else can make.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from campaign.bundles import MANIFEST, forge_hashes, put
from campaign.damage import bit, length_field, run_of_bytes, truncation
from campaign.forge_files import components, external, graph, numbers, tokenizer
from campaign.forge_manifest import depth, encoding, number, place, size, structure, value, version

Forgery = Callable[[Random, Path], str]


def _forged(damage: Forgery) -> Forgery:
    """The same accident to any file but the manifest, with hashes that fit afterwards."""

    def forgery(random: Random, bundle: Path) -> str:
        manifest = (bundle / MANIFEST).read_bytes()
        note = damage(random, bundle)
        put(bundle / MANIFEST, manifest)
        forge_hashes(bundle)
        return note

    return forgery


FORGERIES: Mapping[str, Forgery] = {
    each.__name__: each
    for each in (
        value,
        structure,
        version,
        depth,
        number,
        encoding,
        place,
        size,
        components,
        external,
        graph,
        tokenizer,
        numbers,
    )
} | {f"forged_{each.__name__}": _forged(each) for each in (bit, run_of_bytes, truncation, length_field)}
