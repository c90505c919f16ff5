"""Toy graphs with a known answer; toy_reference.py says the same in NumPy.

text_encoder: states[i, j] = ids[i] / 49407 * TEXT_WEIGHTS[i, j], so the order of the tokens counts
denoiser:     v = (x - x0) / t - TEXT_PULL mean(states), where x0 is the clean latent of data N(MEAN, SPREAD^2):
              x0 = MEAN + a s^2 / (a^2 s^2 + t^2) (x - a MEAN), a = 1 - t, s = SPREAD
decoder:      GAINS and OFFSETS for the first three of four channels, each pixel repeated 2 x 2, then a ramp down H
image_encoder, where asked for: the decoder's inverse on the means of 2 x 2 pixels; the fourth channel is MEAN
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lira_runtime import manifest as m
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.files import atomic_directory, sha256_of
from lira_runtime.golden import GoldenInputs, golden_output
from lira_runtime.interface import IMAGE_ENCODER, PROMPT_TOKENS, TensorSpec, interface
from lira_runtime.tokenizer import ClipTokenizer

CHANNELS, SCALE, RESOLUTION, D_TEXT = 4, 2, 16, 4
LATENT_SHAPE = (1, CHANNELS, RESOLUTION // SCALE, RESOLUTION // SCALE)
STEPS, SHIFT, GUIDANCE, METHOD = 4, 3.0, 1.0, "dpm"

TEXT_WEIGHTS = np.linspace(1.0, 0.1, PROMPT_TOKENS * D_TEXT, dtype=np.float32).reshape(1, PROMPT_TOKENS, D_TEXT)
TEXT_PULL = 1.5
MEAN, SPREAD = 0.7, 0.3
# No two channels, and no two rows, are decoded alike; one channel is upside down. Values leave [0, 1] at both ends.
GAINS = np.array([0.5, 1.0, -0.7], np.float32).reshape(1, 3, 1, 1)
OFFSETS = np.array([-0.6, -0.9, 1.6], np.float32).reshape(1, 3, 1, 1)


def ramp(side: int) -> np.ndarray:
    """(1, 1, side, 1), down the rows of a picture of `side` px."""
    return np.linspace(-0.4, 0.4, side, dtype=np.float32).reshape(1, 1, side, 1)


RAMP = ramp(RESOLUTION)

_ONNX_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}
_BALLAST = np.linspace(-0.5, 0.5, 4096, dtype=np.float32)  # dead weight, so that a flipped byte has somewhere to land
_Body = tuple[list[onnx.NodeProto], dict[str, np.ndarray]]


def write_toy_bundle(
    goal: Path, denoiser_gain: float = 1.0, with_encoder: bool = False, resolutions: tuple[int, ...] = (RESOLUTION,)
) -> None:
    """Write the bundle; a denoiser_gain of infinity makes a denoiser that returns no numbers."""
    bodies: dict[str, Callable[[int], _Body]] = {
        "text_encoder": lambda side: _text_encoder(),
        "denoiser": lambda side: _denoiser(denoiser_gain),
        "decoder": _decoder,
    }
    if with_encoder:
        bodies[IMAGE_ENCODER] = _image_encoder
    with atomic_directory(goal) as directory:
        ClipTokenizer.vendored().save(directory / "tokenizer.json")
        components = tuple(_component(directory, name, body, resolutions) for name, body in bodies.items())
        tokenizer, empty_prompt = entry(directory / "tokenizer.json"), _empty_prompt(directory)
        if np.isfinite(denoiser_gain):
            components = _with_golden(directory, components)
        m.save(toy_manifest(components, tokenizer, empty_prompt, resolutions), directory)


def toy_manifest(
    components: tuple[m.Component, ...],
    tokenizer: m.FileEntry,
    empty_prompt: m.TensorFile,
    resolutions: tuple[int, ...] = (RESOLUTION,),
) -> m.Manifest:
    """Return a manifest around the given components."""
    return m.Manifest(
        format_version=m.FORMAT_VERSION,
        target="onnx",
        preset="toy",
        latent=m.Latent(name="toy", channels=CHANNELS, scale=SCALE, patch_size=1),
        resolutions=resolutions,
        sampler=m.SamplerDefaults(method=METHOD, steps=STEPS, shift=SHIFT, guidance=GUIDANCE),
        tokenizer=tokenizer,
        components=components,
        empty_prompt=empty_prompt,
        tools={"onnx": onnx.__version__},
        source=m.Source(digest="0" * 64, weights="seed", seed=0),
    )


def entry(path: Path) -> m.FileEntry:
    """Return the manifest entry of a file in the bundle's top folder."""
    return m.FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256_of(path))


def _empty_prompt(directory: Path) -> m.TensorFile:
    shares = ClipTokenizer.vendored().encode("").ids[..., None].astype(np.float32) / np.float32(49407)
    path = directory / "empty_prompt.f32"
    path.write_bytes((shares * TEXT_WEIGHTS).astype("<f4").tobytes())
    return _tensor_file(path, TEXT_WEIGHTS.shape)


def _tensor_file(path: Path, shape: tuple[int, ...]) -> m.TensorFile:
    file = entry(path)
    return m.TensorFile(path=file.path, bytes=file.bytes, sha256=file.sha256, shape=shape, dtype="float32")


def _component(directory: Path, name: str, body: Callable[[int], _Body], resolutions: tuple[int, ...]) -> m.Component:
    """One graph for each resolution, the first called after the component alone; the text encoder has one in all."""
    graphs, files, made = [], [], []
    for side in resolutions[:1] if name == "text_encoder" else resolutions:
        inputs, outputs = interface((1, CHANNELS, side // SCALE, side // SCALE), SCALE, D_TEXT)[name]
        stem = name if side == resolutions[0] else f"{name}-{side}"
        made.append(body(side))
        files += _save_graph(directory, stem, inputs, outputs, made[-1])
        resolution = None if name == "text_encoder" else side
        graphs.append(m.Graph(path=f"{stem}.onnx", entry="main", resolution=resolution, inputs=inputs, outputs=outputs))
    return m.Component(
        name=name,  # type: ignore[arg-type]
        graphs=tuple(graphs),
        files=tuple(files),
        recipe="fp32",
        parity=m.Parity(float32_max_abs=0.0, psnr_db=200.0, cosine=1.0, threshold_db=90.0, passed=True),
        contents=_contents(*made[0]),
    )


def _contents(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> m.Contents:
    sizes = Counter[str]()
    for value in constants.values():
        sizes[value.dtype.name] += value.nbytes
    return m.Contents(ops=Counter(node.op_type for node in nodes), products={}, weight_bytes=sizes)


def _with_golden(directory: Path, components: tuple[m.Component, ...]) -> tuple[m.Component, ...]:
    inputs = GoldenInputs(
        ClipTokenizer.vendored(), np.fromfile(directory / "empty_prompt.f32", "<f4").reshape(TEXT_WEIGHTS.shape)
    )

    def stored(graph: m.Graph) -> m.Graph:
        path = directory / f"golden-{Path(graph.path).stem}.f32"
        values = golden_output(OnnxBackend(), graph, directory, inputs)
        path.write_bytes(values.astype("<f4").tobytes())
        return msgspec.structs.replace(graph, golden=_tensor_file(path, values.shape))

    return tuple(
        msgspec.structs.replace(each, graphs=tuple(stored(graph) for graph in each.graphs)) for each in components
    )


def _save_graph(
    directory: Path, stem: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], body: _Body
) -> tuple[m.FileEntry, ...]:
    nodes, constants = body
    initializers = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, stem, [_info(t) for t in inputs], [_info(t) for t in outputs], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    path = directory / f"{stem}.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location=f"{stem}.onnx.data", size_threshold=4096)
    return entry(path), entry(directory / f"{stem}.onnx.data")


def _info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _ONNX_TYPES[tensor.dtype], tensor.shape)


def _with_ballast(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], light: str, output: str) -> _Body:
    """Add the ballast, times 0, to the tensor `light`; the result is the graph's output."""
    extra = [
        helper.make_node("ReduceSum", ["ballast"], ["ballast_sum"], keepdims=0),
        helper.make_node("Mul", ["ballast_sum", "zero"], ["nothing"]),
        helper.make_node("Add", [light, "nothing"], [output]),
    ]
    return [*nodes, *extra], {**constants, "ballast": _BALLAST, "zero": np.array(0, np.float32)}


def _text_encoder() -> _Body:
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["ids", "largest"], ["shares"]),
        helper.make_node("Unsqueeze", ["shares", "last"], ["column"]),
        helper.make_node("Mul", ["column", "weights"], ["states"]),
    ]
    constants = {
        "largest": np.array(49407, np.float32),
        "last": np.array([2], np.int64),
        "weights": TEXT_WEIGHTS,
    }
    return _with_ballast(nodes, constants, "states", "text_states")


def _denoiser(gain: float) -> _Body:
    nodes = [
        helper.make_node("Sub", ["one", "timestep"], ["alpha"]),
        helper.make_node("Mul", ["alpha", "variance"], ["alpha_variance"]),
        helper.make_node("Mul", ["alpha", "alpha_variance"], ["signal"]),
        helper.make_node("Mul", ["timestep", "timestep"], ["noise"]),
        helper.make_node("Add", ["signal", "noise"], ["total"]),
        helper.make_node("Div", ["alpha_variance", "total"], ["share"]),
        helper.make_node("Mul", ["alpha", "mean"], ["alpha_mean"]),
        helper.make_node("Sub", ["latent", "alpha_mean"], ["centred"]),
        helper.make_node("Mul", ["share", "centred"], ["detail"]),
        helper.make_node("Add", ["mean", "detail"], ["x0"]),
        helper.make_node("Sub", ["latent", "x0"], ["way"]),
        helper.make_node("Div", ["way", "timestep"], ["speed"]),
        helper.make_node("ReduceMean", ["text_states"], ["text"], keepdims=0),
        helper.make_node("Mul", ["text", "text_pull"], ["pull"]),
        helper.make_node("Sub", ["speed", "pull"], ["towards"]),
        helper.make_node("Mul", ["towards", "gain"], ["scaled"]),
        helper.make_node("Identity", ["three"], ["reasoning_steps"]),
    ]
    constants = {
        "one": np.array(1, np.float32),
        "variance": np.array(SPREAD**2, np.float32),
        "mean": np.array(MEAN, np.float32),
        "text_pull": np.array(TEXT_PULL, np.float32),
        "gain": np.array(gain, np.float32),
        "three": np.array([3], np.int32),
    }
    return _with_ballast(nodes, constants, "scaled", "velocity")


def _decoder(side: int) -> _Body:
    nodes = [
        helper.make_node("Slice", ["latent", "from", "to", "axis"], ["three"]),
        helper.make_node("Mul", ["three", "gains"], ["gained"]),
        helper.make_node("Add", ["gained", "offsets"], ["rgb"]),
        helper.make_node("Resize", ["rgb", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Add", ["large", "ramp"], ["shaded"]),
    ]
    constants = {
        "from": np.array([0], np.int64),
        "to": np.array([3], np.int64),
        "axis": np.array([1], np.int64),
        "gains": GAINS,
        "offsets": OFFSETS,
        "scales": np.array([1, 1, SCALE, SCALE], np.float32),
        "ramp": ramp(side),
    }
    return _with_ballast(nodes, constants, "shaded", "image")


def _image_encoder(side: int) -> _Body:
    nodes = [
        helper.make_node("Sub", ["image", "ramp"], ["flat"]),
        helper.make_node("AveragePool", ["flat"], ["small"], kernel_shape=[SCALE, SCALE], strides=[SCALE, SCALE]),
        helper.make_node("Sub", ["small", "offsets"], ["centred"]),
        helper.make_node("Div", ["centred", "gains"], ["three"]),
        helper.make_node("Concat", ["three", "fourth"], ["encoded"], axis=1),
    ]
    constants = {
        "ramp": ramp(side),
        "offsets": OFFSETS,
        "gains": GAINS,
        "fourth": np.full((1, 1, side // SCALE, side // SCALE), MEAN, np.float32),
    }
    return _with_ballast(nodes, constants, "encoded", "latent")


if __name__ == "__main__":
    write_toy_bundle(Path(sys.argv[1]))
