"""Toy graphs with a known answer: text states are ids / 49407, the velocity pulls to a colour the prompt decides.

text_encoder: states[i, j] = ids[i] / 49407 for 4 columns j
denoiser:     v = (latent - mean(states)) / max(timestep, 1e-3), so x0 = mean(states) everywhere at every sigma
decoder:      every channel repeated 2 x 2, first three of four channels kept
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lira_runtime import manifest as m
from lira_runtime.files import atomic_directory, sha256_of
from lira_runtime.tokenizer import ClipTokenizer

CHANNELS, SCALE, RESOLUTION, D_TEXT = 4, 2, 16, 4
LATENT_SHAPE = (1, CHANNELS, RESOLUTION // SCALE, RESOLUTION // SCALE)
_ONNX_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}
_RAMP = np.linspace(-0.5, 0.5, 4096, dtype=np.float32)  # dead weight, so that a flipped byte has somewhere to land


def write_toy_bundle(goal: Path, denoiser_gain: float = 1.0) -> None:
    """Write the bundle; a denoiser_gain of infinity makes a denoiser that returns no numbers."""
    interface = m.interface(LATENT_SHAPE, SCALE, D_TEXT)
    nodes = {"text_encoder": _text_encoder(), "denoiser": _denoiser(denoiser_gain), "decoder": _decoder()}
    with atomic_directory(goal) as directory:
        ClipTokenizer.vendored().save(directory / "tokenizer.json")
        components = []
        for name in m.COMPONENTS:
            inputs, outputs = interface[name]
            files = _save_graph(directory, name, inputs, outputs, nodes[name])
            components.append(_component(name, files, inputs, outputs))
        m.save(toy_manifest(tuple(components), entry(directory / "tokenizer.json")), directory)


def toy_manifest(components: tuple[m.Component, ...], tokenizer: m.FileEntry) -> m.Manifest:
    """Return a manifest around the given components."""
    return m.Manifest(
        format_version=1,
        target="onnx",
        preset="toy",
        latent=m.Latent(name="toy", channels=CHANNELS, scale=SCALE, patch_size=1),
        resolution=RESOLUTION,
        sampler=m.SamplerDefaults(method="dpm", steps=4, shift=3.0, guidance=1.0),
        tokenizer=tokenizer,
        components=components,
        tools={"onnx": onnx.__version__},
        source=m.Source(digest="0" * 64, weights="seed", seed=0),
    )


def entry(path: Path) -> m.FileEntry:
    """Return the manifest entry of a file in the bundle's top folder."""
    return m.FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256_of(path))


def _component(
    name: str, files: tuple[m.FileEntry, ...], inputs: tuple[m.TensorSpec, ...], outputs: tuple[m.TensorSpec, ...]
) -> m.Component:
    parity = m.Parity(fp32_max_abs=0.0, passed=True)
    return m.Component(
        name=name,  # type: ignore[arg-type]
        files=files,
        inputs=inputs,
        outputs=outputs,
        recipe="fp32",
        parity=parity,
        weight_bytes={"float32": _RAMP.nbytes},
    )


def _save_graph(
    directory: Path,
    name: str,
    inputs: tuple[m.TensorSpec, ...],
    outputs: tuple[m.TensorSpec, ...],
    body: tuple[list[onnx.NodeProto], dict[str, np.ndarray]],
) -> tuple[m.FileEntry, ...]:
    nodes, constants = body
    initializers = [numpy_helper.from_array(value, key) for key, value in {**constants, "ramp": _RAMP}.items()]
    graph = helper.make_graph(nodes, name, [_info(t) for t in inputs], [_info(t) for t in outputs], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    path = directory / f"{name}.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location=f"{name}.onnx.data", size_threshold=1024)
    return entry(path), entry(directory / f"{name}.onnx.data")


def _info(tensor: m.TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _ONNX_TYPES[tensor.dtype], tensor.shape)


def _text_encoder() -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["ids", "largest"], ["shares"]),
        helper.make_node("Unsqueeze", ["shares", "last"], ["column"]),
        helper.make_node("Expand", ["column", "shape"], ["spread"]),
        helper.make_node("ReduceSum", ["ramp"], ["ramp_sum"], keepdims=0),
        helper.make_node("Mul", ["ramp_sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["spread", "nothing"], ["text_states"]),
    ]
    constants = {
        "largest": np.float32(49407),
        "last": np.array([2], np.int64),
        "shape": np.array([1, m.PROMPT_TOKENS, D_TEXT], np.int64),
        "zero": np.float32(0),
    }
    return nodes, {key: np.asarray(value) for key, value in constants.items()}


def _denoiser(gain: float) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    nodes = [
        helper.make_node("ReduceMean", ["text_states"], ["goal"], keepdims=0),
        helper.make_node("Max", ["timestep", "least"], ["time"]),
        helper.make_node("Sub", ["latent", "goal"], ["way"]),
        helper.make_node("Div", ["way", "time"], ["speed"]),
        helper.make_node("ReduceSum", ["ramp"], ["ramp_sum"], keepdims=0),
        helper.make_node("Mul", ["ramp_sum", "zero"], ["nothing"]),
        helper.make_node("Mul", ["speed", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "nothing"], ["velocity"]),
        helper.make_node("Identity", ["three"], ["reasoning_steps"]),
    ]
    constants = {
        "least": np.array([1e-3], np.float32),
        "zero": np.float32(0),
        "gain": np.float32(gain),
        "three": np.array([3], np.int32),
    }
    return nodes, {key: np.asarray(value) for key, value in constants.items()}


def _decoder() -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    nodes = [
        helper.make_node("Slice", ["latent", "from", "to", "axis"], ["rgb"]),
        helper.make_node("Resize", ["rgb", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("ReduceSum", ["ramp"], ["ramp_sum"], keepdims=0),
        helper.make_node("Mul", ["ramp_sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["large", "nothing"], ["image"]),
    ]
    constants = {
        "from": np.array([0], np.int64),
        "to": np.array([3], np.int64),
        "axis": np.array([1], np.int64),
        "scales": np.array([1, 1, SCALE, SCALE], np.float32),
        "zero": np.float32(0),
    }
    return nodes, {key: np.asarray(value) for key, value in constants.items()}


if __name__ == "__main__":
    write_toy_bundle(Path(sys.argv[1]))
