"""The manifest: the only contract between the exporters and everything that runs a bundle.

`python -m lira_runtime.manifest` prints its JSON schema, committed as docs/manifest.schema.json. The records that it is
made of are those of `lira_runtime.manifest_entries`, named here too.
"""

import hashlib
import math
import os
import re
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
from msgspec import Struct

from lira_runtime.errors import DamagedBundle
from lira_runtime.files import MANIFEST_NAME, SIGNATURE_NAME, atomic_write
from lira_runtime.interface import COMPONENTS, PROMPT_TOKENS, TEXT_ENCODER, golden_count, interface
from lira_runtime.manifest_entries import (
    WEIGHTS_MODES,
    Component,
    Contents,
    FileEntry,
    Graph,
    Latent,
    Manifest,
    Memory,
    Parity,
    SamplerDefaults,
    Source,
    TargetName,
    TensorFile,
    Trajectory,
    WeightsMode,
)

__all__ = [
    "FORMAT_VERSION",
    "WEIGHTS_MODES",
    "Component",
    "Contents",
    "FileEntry",
    "Graph",
    "Latent",
    "Manifest",
    "Memory",
    "Parity",
    "SamplerDefaults",
    "Source",
    "TargetName",
    "TensorFile",
    "Trajectory",
    "WeightsMode",
    "decode",
    "json_schema",
    "load",
    "parse",
    "read",
    "save",
    "validate",
]

FORMAT_VERSION: Final = 5
"""1 to 4 knew one graph a component, ONNX alone, no memory by graph, or no golden outputs; no release wrote them."""
MAX_MANIFEST_BYTES = 4 << 20
MAX_DEPTH = 500
"""Records and lists that may lie in one another, the manifest itself counted."""
_NO_CHECKSUM = "0" * 64
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]')
"""Brackets, and texts, in which they are none."""
_NESTING = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


class _Header(Struct):
    """Read first, so that a newer format is named as such and not as an unknown field."""

    format_version: int


def load(directory: str | os.PathLike[str]) -> Manifest:
    """Read and validate `manifest.json` of a bundle directory; raises DamagedBundle with one sentence."""
    return parse(read(directory))


def read(directory: str | os.PathLike[str]) -> bytes:
    """Read the bytes of a bundle's manifest; raises DamagedBundle where there is none, a link, or something else."""
    path = Path(directory) / MANIFEST_NAME
    if path.is_symlink():
        sentence = f"{MANIFEST_NAME} of the bundle {directory} is a link, which may point outside of it."
        raise DamagedBundle(sentence, "link")
    if not path.is_file():
        raise DamagedBundle(
            f"{directory} holds no {MANIFEST_NAME}, so it is not a complete bundle.", "manifest_missing"
        )
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        too_large = f"{path} is larger than {MAX_MANIFEST_BYTES} bytes, so it is not a manifest."
        raise DamagedBundle(too_large, "manifest_unreadable")
    return path.read_bytes()


def parse(data: bytes) -> Manifest:
    """Decode a manifest's file and compare it with its own checksum; raises DamagedBundle with one sentence."""
    manifest = decode(data)
    if manifest.checksum is None or manifest.checksum != _checksum(data, manifest.checksum):
        raise DamagedBundle(
            f"{MANIFEST_NAME} does not have the checksum that it says: it was altered.", "manifest_checksum"
        )
    return msgspec.structs.replace(manifest, checksum=None)


def _checksum(data: bytes, stored: str) -> str:
    """Of a manifest's bytes whose last occurrence of `stored` counts as zeros."""
    before, _, after = data.rpartition(stored.encode())
    return hashlib.sha256(before + _NO_CHECKSUM.encode() + after).hexdigest()


def decode(data: bytes) -> Manifest:
    """Parse and validate a manifest's JSON; raises DamagedBundle with one sentence."""
    try:
        version = msgspec.json.decode(data, type=_Header).format_version
        _check_depth(data)
        if version != FORMAT_VERSION:
            hint = "export the bundle again" if version < FORMAT_VERSION else "a newer LiRA wrote it"
            raise DamagedBundle(
                f"the manifest has format version {version}, but this LiRA reads {FORMAT_VERSION}: {hint}.",
                "manifest_version",
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedBundle(f"the manifest cannot be read: {error}.", "manifest_unreadable") from error
    validate(manifest)
    return manifest


def _check_depth(data: bytes) -> None:
    """data is JSON. The libraries' own limits differ, and Python's with the depth of the call."""
    depth = 0
    for token in _BRACKETS.finditer(data):
        depth += _NESTING.get(token[0], 0)
        if depth > MAX_DEPTH:
            raise DamagedBundle(
                f"the manifest cannot be read: more than {MAX_DEPTH} values lie in one another.", "manifest_unreadable"
            )


def save(manifest: Manifest, directory: str | os.PathLike[str]) -> Path:
    """Validate and write `manifest.json` (indented, keys in declared order) into a directory; return its path."""
    validate(manifest)
    encoded = msgspec.json.encode(msgspec.structs.replace(manifest, checksum=_NO_CHECKSUM))
    readable = decode(encoded)  # constructing a Struct checks no types; read, 35 is 35.0: one content has one digest
    data = msgspec.json.format(msgspec.json.encode(readable), indent=2) + b"\n"
    before, _, after = data.rpartition(_NO_CHECKSUM.encode())
    goal = Path(directory) / MANIFEST_NAME
    with atomic_write(goal) as part:
        part.write_bytes(before + _checksum(data, _NO_CHECKSUM).encode() + after)
    return goal


def validate(manifest: Manifest) -> None:
    """Check what types cannot say: names, paths, resolutions and shapes that agree; raises DamagedBundle."""
    for entry in manifest.files():
        _check_relative(entry.path)
    paths = [entry.path.lower() for entry in manifest.files()]  # many file systems know no case
    if len(set(paths)) != len(paths) or {MANIFEST_NAME, SIGNATURE_NAME} & set(paths):
        raise _inconsistent("the manifest lists one file twice, or two that differ by case alone.")
    folders = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
    if folders & {MANIFEST_NAME, SIGNATURE_NAME, *paths}:
        raise _inconsistent("the manifest lists a file that another one lies in, as in a folder.")
    names = [component.name for component in manifest.components]
    if len(set(names)) != len(names):
        raise _inconsistent("the manifest lists one component twice.")
    if not manifest.partial and not set(names) >= set(COMPONENTS):
        missing = ", ".join(sorted(set(COMPONENTS) - set(names)))
        raise _inconsistent(f"the manifest lacks the component {missing} and does not say that it is partial.")
    if len(set(manifest.resolutions)) != len(manifest.resolutions):
        raise _inconsistent("the manifest lists one resolution twice.")
    for resolution in manifest.resolutions:
        if resolution % manifest.latent.scale:
            raise _inconsistent(f"{resolution} px is not a multiple of the latent scale {manifest.latent.scale}.")
    d_text = _text_width(manifest)
    for component in manifest.components:
        _check_component(manifest, component, d_text)
        _check_measured(component.name, component.parity.psnr_db, component.parity)
    _check_empty_prompt(manifest, d_text)
    if drawn := manifest.trajectory:
        _check_measured("the drawing", drawn.image_psnr_db, drawn)


def _text_width(manifest: Manifest) -> int:
    graphs = [graph for component in manifest.components for graph in component.graphs]
    tensors = [t for graph in graphs for t in graph.inputs + graph.outputs if t.name == "text_states" and t.shape]
    return tensors[0].shape[-1] if tensors else 1


def _check_component(manifest: Manifest, component: Component, d_text: int) -> None:
    """One graph for every resolution, or one for all; each opens a file of the component, with LiRA's tensors."""
    wanted = (None,) if component.name == TEXT_ENCODER else manifest.resolutions
    if tuple(graph.resolution for graph in component.graphs) != wanted:
        raise _inconsistent(f"the graphs of {component.name} are not those of the bundle's resolutions.")
    for graph in component.graphs:
        inside = f"{graph.path}/"
        if not any(entry.path == graph.path or entry.path.startswith(inside) for entry in component.files):
            raise _inconsistent(f"{component.name} opens {graph.path!r}, which is none of its files.")
        shape = manifest.latent_shape(graph.resolution or manifest.resolutions[0])
        tensors = interface(shape, manifest.latent.scale, d_text)[component.name]
        if (graph.inputs, graph.outputs) != tensors:
            raise _inconsistent(f"the tensors of {component.name} are not those of a LiRA {component.name}.")
        golden, count = graph.golden, golden_count(graph.outputs[0])
        if golden is not None and (golden.shape, golden.bytes) != ((count,), 4 * count):
            raise _inconsistent(f"the golden output of {component.name} does not have the shape of a golden output.")


def _check_measured(what: str, found_db: float, said: Parity | Trajectory) -> None:
    if said.passed != (found_db >= said.threshold_db):
        numbers = f"{found_db:g} dB, of {said.threshold_db:g} dB that are needed"
        raise _inconsistent(f"the manifest says that {what} {'passed' if said.passed else 'failed'} with {numbers}.")


def _check_empty_prompt(manifest: Manifest, d_text: int) -> None:
    empty = manifest.empty_prompt
    if empty is None:
        if not manifest.partial:
            raise _inconsistent("the manifest lacks the text states of the empty prompt.")
    elif empty.shape != (1, PROMPT_TOKENS, d_text) or empty.bytes != 4 * math.prod(empty.shape):
        raise _inconsistent("the text states of the empty prompt do not have the text encoder's shape.")


def _inconsistent(sentence: str) -> DamagedBundle:
    return DamagedBundle(sentence, "manifest_inconsistent")


def _check_relative(path: str) -> None:
    """Letters beyond ASCII would be equal or printable in one version of Unicode and not in another."""
    printable = path.isascii() and path.isprintable()
    if not printable or "\\" in path or ":" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise DamagedBundle(f"the manifest names the unsafe path {path!r}.", "manifest_path")


def json_schema() -> bytes:
    """Return the manifest's JSON schema (2020-12), indented, ending in a newline."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Manifest)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


if __name__ == "__main__":
    print(json_schema().decode(), end="")
