"""What a manifest is made of: the records that `lira_runtime.manifest` reads, checks and writes.

Units: sizes in bytes, resolution in px, parity in dB (peak signal to noise), cosine or as a maximum absolute error.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from lira_runtime.interface import ComponentName, Positive, TensorSpec

ByteCount = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
# Python's "$" lets the end of a line stand after the digits; the length does not.
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Text = Annotated[str, Meta(min_length=1)]
TargetName = Literal["onnx", "coreml", "tflite"]
WeightsMode = Literal["packed", "mapped", "streamed"]
"""Loading modes: packed into memory of the process's own, mapped from a cache file, or mapped with few resident."""
WEIGHTS_MODES: tuple[WeightsMode, ...] = get_args(WeightsMode)


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of the bundle; `path` is relative to the bundle, with forward slashes."""

    path: Annotated[str, Meta(min_length=1, max_length=255)]
    bytes: ByteCount
    sha256: Sha256


class TensorFile(FileEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tensor as raw little-endian numbers in C order."""

    shape: tuple[Positive, ...]
    dtype: Literal["float32"]


class Memory(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Peak resident memory of one graph's stage over an idle process of the runtime, in bytes; null where not known.

    predicted_bytes: before the graph was converted. weights_bytes, activations_bytes, runtime_bytes: its parts: weights
    as the engine keeps them, what a run takes, and the engine's code and its records of the graph. measured_bytes: by a
    fresh process on the exporting machine, with the bundle's own loading mode.
    """

    predicted_bytes: ByteCount | None = None
    weights_bytes: ByteCount | None = None
    activations_bytes: ByteCount | None = None
    runtime_bytes: ByteCount | None = None
    measured_bytes: ByteCount | None = None


class Graph(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of a component's files, for one size of picture.

    path: the file to open, or the folder of a Core ML package. entry: the function (Core ML) or signature (TFLite) in
    it; "main" for ONNX. resolution: side of the picture in px, null where the component knows no picture. memory: null
    where the exporter neither predicted nor measured it. golden: the part of the first output that is stored of its
    golden run (`lira_runtime.golden`), null where the exporter did not run it.
    """

    path: Annotated[str, Meta(min_length=1, max_length=255)]
    entry: Text
    resolution: Positive | None = None
    inputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]
    memory: Memory | None = None
    golden: TensorFile | None = None


class Parity(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the exporter measured against eager float32 PyTorch, on the files written; the worst of the samples.

    float32_max_abs: largest difference of the graph before it was quantized, null where none was written on the way.
    psnr_db, at most 200, and cosine: of the files themselves. threshold_db: what psnr_db had to reach, or
    passed is false.
    """

    float32_max_abs: Annotated[float, Meta(ge=0)] | None = None
    psnr_db: float
    cosine: float
    threshold_db: float
    passed: bool


class Contents(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the component's files hold, counted in the files themselves.

    ops: by kind, of the graph at the bundle's first resolution. products: matrix products and convolutions by the
    stored dtype of their weights. weight_bytes: by stored dtype. loaded_bytes: memory that a fresh process takes on
    when it loads the graph, null where that cannot be measured on the exporting machine. kept_float32: tensors that a
    float16 graph computes in float32, because float16 cannot hold them.
    """

    ops: dict[str, Count]
    products: dict[str, Count]
    weight_bytes: dict[str, ByteCount]
    loaded_bytes: ByteCount | None = None
    kept_float32: tuple[str, ...] = ()


class Component(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One network: its graphs, one for each resolution that needs its own, and the files that they share.

    key: SHA-256 of what made it, by which an export that would make the same takes it; null where nobody shall.
    """

    name: ComponentName
    graphs: Annotated[tuple[Graph, ...], Meta(min_length=1)]
    files: Annotated[tuple[FileEntry, ...], Meta(min_length=1)]
    recipe: Text
    parity: Parity
    contents: Contents
    key: Sha256 | None = None


class Trajectory(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole drawing by the bundle beside the eager model's, from the same noise, at the bundle's first resolution.

    drift_db: PSNR of the latent after each step. image_psnr_db: of the final pictures, clamped to [0, 1]. Both at most
    200 dB. threshold_db: what image_psnr_db had to reach, or passed is false.
    """

    prompt: str
    seed: Count
    steps: Positive
    guidance: float
    drift_db: tuple[float, ...]
    image_psnr_db: float
    threshold_db: float
    passed: bool


class Latent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The latent kind: `scale` image pixels a latent pixel (each way), `patch_size` latent pixels a token."""

    name: Text
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
    """Everything a program must know to run the bundle.

    resolutions: sides of square pictures in px, the first being the default. requires: the oldest system that runs
    it, "iOS17" say, null where there is no such bound. `empty_prompt` holds the text states of the prompt "", which
    guidance needs for every picture. A `partial` bundle lacks one of the three components; it can be profiled and
    verified, not run. The image encoder is an optional fourth. trajectory: null for a partial bundle. weights: how a
    runtime loads them where nobody says otherwise; see `WeightsMode`. checksum: SHA-256 of the manifest's own bytes
    with these 64 digits as zeros; in the file alone, which is not read without it.
    """

    format_version: Literal[5]
    target: TargetName
    requires: Text | None = None
    preset: Text
    latent: Latent
    resolutions: Annotated[tuple[Positive, ...], Meta(min_length=1)]
    sampler: SamplerDefaults
    tokenizer: FileEntry
    components: Annotated[tuple[Component, ...], Meta(min_length=1)]
    empty_prompt: TensorFile | None = None
    trajectory: Trajectory | None = None
    tools: dict[str, str]
    source: Source
    weights: WeightsMode = "packed"
    partial: bool = False
    checksum: Sha256 | None = None

    def latent_shape(self, resolution: int) -> tuple[int, int, int, int]:
        """The diffusion latent's shape (1, C, H, W) for pictures of `resolution` px."""
        side = resolution // self.latent.scale
        return (1, self.latent.channels, side, side)

    def files(self) -> Iterator[FileEntry]:
        """Yield every file the bundle must hold besides the manifest itself."""
        yield self.tokenizer
        for component in self.components:
            yield from component.files
            yield from (graph.golden for graph in component.graphs if graph.golden is not None)
        if self.empty_prompt is not None:
            yield self.empty_prompt
