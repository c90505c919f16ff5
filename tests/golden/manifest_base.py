"""A small whole bundle, written by hand: its manifest and its files, for manifests.json and files.json.

Pictures of 4 x 4 px, a latent of 4 x 2 x 2, text states of width 1. No graph in it can be run; nothing here tries to.
"""

import hashlib
import json
import re
from typing import Any

from noise_vectors import words

Record = dict[str, Any]
ZEROS = "0" * 64
TOKENS = {"name": "input_ids", "shape": [1, 77], "dtype": "int32"}
STATES = {"name": "text_states", "shape": [1, 77, 1], "dtype": "float32"}
LATENT = {"name": "latent", "shape": [1, 4, 2, 2], "dtype": "float32"}
TIME = {"name": "timestep", "shape": [1], "dtype": "float32"}
VELOCITY = {"name": "velocity", "shape": [1, 4, 2, 2], "dtype": "float32"}
REASONING = {"name": "reasoning_steps", "shape": [1], "dtype": "int32"}
IMAGE = {"name": "image", "shape": [1, 3, 4, 4], "dtype": "float32"}

FILES = {
    path: b"".join(word.to_bytes(8, "little") for word in words(number, size))[:size]
    for number, (path, size) in enumerate(
        {
            "tokenizer.json": 40,
            "text_encoder.onnx": 24,
            "denoiser.mlpackage/Manifest.json": 16,
            "denoiser.mlpackage/Data/weights/weight.bin": 64,
            "decoder.onnx": 24,
            "decoder.onnx.data": 0,
            "golden-denoiser.f32": 64,
            "empty_prompt.f32": 308,
        }.items()
    )
}
"""What the base manifest names, by path; one is empty. The denoiser is a folder, as Core ML's packages are."""


def file_entry(path: str) -> Record:
    """Path, size and SHA-256 of one of `FILES`."""
    return {"path": path, "bytes": len(FILES[path]), "sha256": hashlib.sha256(FILES[path]).hexdigest()}


def component(name: str, graph: Record, *paths: str) -> Record:
    """A network of one graph, and of files that are given."""
    return {
        "name": name,
        "graphs": [{"entry": "main", **graph}],
        "files": [file_entry(path) for path in paths],
        "recipe": "int8",
        "parity": {"psnr_db": 45.5, "cosine": 0.9999, "threshold_db": 35, "passed": True},
        "contents": {"ops": {"MatMul": 2, "Add": 0}, "products": {"int8": 2}, "weight_bytes": {"int8": 40}},
    }


def base() -> Record:
    """The manifest as a record that may be changed, with zeros as its checksum."""
    encoder = {"path": "text_encoder.onnx", "inputs": [TOKENS], "outputs": [STATES]}
    golden = {**file_entry("golden-denoiser.f32"), "shape": [16], "dtype": "float32"}
    denoiser = {
        "path": "denoiser.mlpackage",
        "resolution": 4,
        "inputs": [LATENT, TIME, STATES],
        "outputs": [VELOCITY, REASONING],
        "golden": golden,
    }
    decoder = {"path": "decoder.onnx", "resolution": 4, "inputs": [LATENT], "outputs": [IMAGE]}
    package = [path for path in FILES if path.startswith("denoiser.mlpackage/")]
    made = {
        "format_version": 5,
        "target": "onnx",
        "preset": "toy",
        "latent": {"name": "toy", "channels": 4, "scale": 2, "patch_size": 1},
        "resolutions": [4],
        "sampler": {"method": "dpm", "steps": 20, "shift": 3.0, "guidance": 4.0},
        "tokenizer": file_entry("tokenizer.json"),
        "components": [
            component("denoiser", denoiser, *package),
            component("text_encoder", encoder, "text_encoder.onnx"),
            component("decoder", decoder, "decoder.onnx", "decoder.onnx.data"),
        ],
        "empty_prompt": {**file_entry("empty_prompt.f32"), "shape": [1, 77, 1], "dtype": "float32"},
        "trajectory": {
            "prompt": "a cat",
            "seed": 18446744073709551615,
            "steps": 2,
            "guidance": 4.0,
            "drift_db": [50.0, 45.5],
            "image_psnr_db": 44.0,
            "threshold_db": 30.0,
            "passed": True,
        },
        "tools": {"exporter": "1.0"},
        "source": {"digest": ZEROS, "weights": "seed", "seed": 0},
        "checksum": ZEROS,
    }
    return json.loads(json.dumps(made))  # nothing is shared between two places, which are changed one at a time


def small() -> Record:
    """A partial bundle of the denoiser alone: as good a base where the fault is found before records are compared."""
    record = base()
    del record["components"][1:]
    return {**record, "partial": True}


def large_golden(count: int) -> Record:
    """Pictures of 256 px alone, of which `count` numbers are stored."""
    record = base()
    record["resolutions"] = [256]
    for number in (0, 2):
        (graph,) = record["components"][number]["graphs"]
        graph = json.loads(json.dumps(graph).replace("4, 2, 2", "4, 128, 128").replace("3, 4, 4", "3, 256, 256"))
        graph.update(resolution=256, golden=None)
        record["components"][number]["graphs"] = [graph]
    golden = {"path": "golden-decoder.f32", "bytes": 4 * count, "sha256": ZEROS, "shape": [count], "dtype": "float32"}
    graph["golden"] = golden
    return record


def seal(text: str | bytes) -> bytes:
    """The manifest's bytes with the right checksum: SHA-256 of them with 64 zeros in its place."""
    data = text.encode() if isinstance(text, str) else text
    found = [*re.finditer(rb'"checksum"\s*:\s*"([0-9a-f]{64})"', data)]
    if not found:
        return data
    start, end = found[-1].span(1)
    digest = hashlib.sha256(data[:start] + ZEROS.encode() + data[end:]).hexdigest()
    return data[:start] + digest.encode() + data[end:]


def written(record: Record, **how: Any) -> bytes:
    """A record as a sealed manifest, compact unless it is said how."""
    style = {"separators": (",", ":"), "ensure_ascii": False, **how}
    return seal(json.dumps(record, **style))
