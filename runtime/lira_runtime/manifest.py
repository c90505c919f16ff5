"""The manifest: the only contract between the exporters and everything that runs a bundle.

`python -m lira_runtime.manifest` prints its JSON schema, committed as docs/manifest.schema.json.
Units: sizes in bytes, resolution in px, parity in dB (peak signal to noise) or as a maximum absolute error.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from lira_runtime.errors import DamagedBundle
from lira_runtime.files import MANIFEST_NAME, atomic_write
from lira_runtime.interface import (
    COMPONENTS,
    IMAGE_ENCODER,
    PROMPT_TOKENS,
    ComponentName,
    Positive,
    TensorSpec,
    interface,
)

FORMAT_VERSIONS: Final = (1, 2)
"""2 says that the bundle may hold an image encoder, which readers of 1 do not know; without one it stays 1."""
MAX_MANIFEST_BYTES = 4 << 20

ByteCount = Annotated[int, Meta(ge=0)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of the bundle; `path` is relative to the bundle, with forward slashes."""

    path: Annotated[str, Meta(min_length=1, max_length=255)]
    bytes: ByteCount
    sha256: Sha256


class TensorFile(FileEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tensor as raw little-endian numbers in C order."""

    shape: tuple[Positive, ...]
    dtype: Literal["float32"]


class Parity(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the exporter measured against eager PyTorch.

    fp32_max_abs: largest difference of the unquantized graph from eager. quantized_psnr_db and threshold_db: quantized
    graph against eager, the worst of the samples, and the bound it had to reach; null where nothing is quantized.
    """

    fp32_max_abs: Annotated[float, Meta(ge=0)]
    quantized_psnr_db: float | None = None
    threshold_db: float | None = None
    passed: bool


class Memory(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Peak resident memory of the component's stage over an idle process, in bytes; null where not known."""

    predicted_bytes: ByteCount | None = None
    measured_bytes: ByteCount | None = None


class Component(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One graph: the first file is the one to open, the others are its data."""

    name: ComponentName
    files: Annotated[tuple[FileEntry, ...], Meta(min_length=1)]
    inputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]
    recipe: Annotated[str, Meta(min_length=1)]
    parity: Parity
    weight_bytes: dict[str, ByteCount]
    memory: Memory | None = None


class Latent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The latent kind: `scale` image pixels a latent pixel (each way), `patch_size` latent pixels a token."""

    name: Annotated[str, Meta(min_length=1)]
    channels: Positive
    scale: Positive
    patch_size: Positive


class SamplerDefaults(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a request that names nothing gets."""

    method: Literal["dpm", "euler"]
    steps: Annotated[int, Meta(ge=1, le=1000)]
    shift: Annotated[float, Meta(gt=0)]
    guidance: Annotated[float, Meta(ge=0, le=100)]


class Source(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the weights came from: `digest` is over the SHA-256 of the checkpoint files; `seed` for random weights."""

    digest: Sha256
    weights: Literal["demo", "checkpoint", "seed"]
    seed: int | None = None


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a program must know to run the bundle; `resolution` is the side of the square image in px.

    `empty_prompt` holds the text states of the prompt "", which guidance needs for every picture.
    A `partial` bundle lacks one of the three components; it can be profiled and verified, not run. The image encoder
    is a fourth that a bundle of format version 2 may hold.
    """

    format_version: Literal[1, 2]
    target: Literal["onnx"]
    preset: Annotated[str, Meta(min_length=1)]
    latent: Latent
    resolution: Positive
    sampler: SamplerDefaults
    tokenizer: FileEntry
    components: Annotated[tuple[Component, ...], Meta(min_length=1)]
    empty_prompt: TensorFile | None = None
    tools: dict[str, str]
    source: Source
    partial: bool = False

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """The diffusion latent's shape (1, C, H, W)."""
        side = self.resolution // self.latent.scale
        return (1, self.latent.channels, side, side)

    def files(self) -> Iterator[FileEntry]:
        """Yield every file the bundle must hold besides the manifest itself."""
        yield self.tokenizer
        for component in self.components:
            yield from component.files
        if self.empty_prompt is not None:
            yield self.empty_prompt


class _Header(Struct):
    """Read first, so that a newer format is named as such and not as an unknown field."""

    format_version: int


def format_version_for(components: tuple[Component, ...]) -> Literal[1, 2]:
    """Return the oldest format version that can say what these components are."""
    return 2 if any(component.name == IMAGE_ENCODER for component in components) else 1


def load(directory: str | os.PathLike[str]) -> Manifest:
    """Read and validate `manifest.json` of a bundle directory; raises DamagedBundle with one sentence."""
    path = Path(directory) / MANIFEST_NAME
    if not path.is_file():
        raise DamagedBundle(f"{directory} holds no {MANIFEST_NAME}, so it is not a complete bundle.")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise DamagedBundle(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes, so it is not a manifest.")
    return decode(path.read_bytes())


def decode(data: bytes) -> Manifest:
    """Parse and validate a manifest's JSON; raises DamagedBundle with one sentence."""
    try:
        version = msgspec.json.decode(data, type=_Header).format_version
        if version not in FORMAT_VERSIONS:
            readable = " and ".join(map(str, FORMAT_VERSIONS))
            raise DamagedBundle(f"the manifest has format version {version}, but this LiRA reads {readable}.")
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedBundle(f"the manifest cannot be read: {error}.") from error
    validate(manifest)
    return manifest


def save(manifest: Manifest, directory: str | os.PathLike[str]) -> Path:
    """Validate and write `manifest.json` (indented, keys in declared order) into a directory; return its path."""
    validate(manifest)
    encoded = msgspec.json.encode(manifest)
    decode(encoded)  # constructing a Struct checks no types: what we write must be readable
    goal = Path(directory) / MANIFEST_NAME
    with atomic_write(goal) as part:
        part.write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    return goal


def validate(manifest: Manifest) -> None:
    """Check what types cannot say: names, paths and shapes that agree; raises DamagedBundle."""
    for entry in manifest.files():
        _check_relative(entry.path)
    paths = [entry.path for entry in manifest.files()]
    if len(set(paths)) != len(paths) or MANIFEST_NAME in paths:
        raise DamagedBundle("the manifest lists one file twice.")
    names = [component.name for component in manifest.components]
    if len(set(names)) != len(names):
        raise DamagedBundle("the manifest lists one component twice.")
    if IMAGE_ENCODER in names and manifest.format_version < 2:
        raise DamagedBundle("the manifest lists an image encoder, which format version 1 does not have.")
    if not manifest.partial and not set(names) >= set(COMPONENTS):
        missing = ", ".join(sorted(set(COMPONENTS) - set(names)))
        raise DamagedBundle(f"the manifest lacks the component {missing} and does not say that it is partial.")
    if manifest.resolution % manifest.latent.scale:
        raise DamagedBundle(f"{manifest.resolution} px is not a multiple of the latent scale {manifest.latent.scale}.")
    tensors = [t for c in manifest.components for t in c.inputs + c.outputs if t.name == "text_states" and t.shape]
    d_text = tensors[0].shape[-1] if tensors else 1
    wanted = interface(manifest.latent_shape, manifest.latent.scale, d_text)
    for component in manifest.components:
        if (component.inputs, component.outputs) != wanted[component.name]:
            raise DamagedBundle(f"the tensors of {component.name} are not those of a LiRA {component.name}.")
    _check_empty_prompt(manifest, d_text)


def _check_empty_prompt(manifest: Manifest, d_text: int) -> None:
    empty = manifest.empty_prompt
    if empty is None:
        if not manifest.partial:
            raise DamagedBundle("the manifest lacks the text states of the empty prompt.")
    elif empty.shape != (1, PROMPT_TOKENS, d_text) or empty.bytes != 4 * math.prod(empty.shape):
        raise DamagedBundle("the text states of the empty prompt do not have the text encoder's shape.")


def _check_relative(path: str) -> None:
    parts = path.split("/")
    if "\\" in path or ":" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise DamagedBundle(f"the manifest names the unsafe path {path!r}.")


def json_schema() -> bytes:
    """Return the manifest's JSON schema (2020-12), indented, ending in a newline."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Manifest)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


if __name__ == "__main__":
    print(json_schema().decode(), end="")
