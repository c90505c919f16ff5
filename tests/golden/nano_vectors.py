"""nano.json, nano-latents.f32, nano.png: one whole drawing by the demo's int8 ONNX bundle.

The graphs are the bundle's and run in ONNX Runtime; tokens, noise, steps and pixels between them are this folder's own.
Graphs that quantize while they run answer a difference in the last bit with another step of 8 bits. So latents are
float32 here, and the operations and their order those of docs/apps.md: who does the same finds the same bits.
Guidance g makes such differences 2 g - 1 times as large, which is why it is small.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from noise_vectors import noise
from numpy.typing import NDArray
from PIL import Image
from pixels_vectors import pixels
from sampler_vectors import levels, log_snr
from tokens_vectors import ROOM, placed_tokens

PROMPT, SEED, STEPS, GUIDANCE, METHOD, THREADS = "a panda right of a pizza on a pink background", 7, 8, 1.5, "dpm", 2
START, END = 49406, 49407
LATENTS, PICTURE = "nano-latents.f32", "nano.png"
Array = NDArray[Any]


class Graphs:
    """Runs the graphs of a bundle by component, each loaded for as long as it is asked."""

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle
        self.manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))

    def open(self, name: str) -> ort.InferenceSession:
        """The session of a component's first graph."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        (component,) = (each for each in self.manifest["components"] if each["name"] == name)
        path = self.bundle / component["graphs"][0]["path"]
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def empty_states(self) -> Array:
        """The text states of the empty prompt."""
        entry = self.manifest["empty_prompt"]
        return np.fromfile(self.bundle / entry["path"], "<f4").reshape(entry["shape"])


def tokens() -> list[int]:
    """The prompt's 77."""
    ids = [number for number, _ in placed_tokens(PROMPT)]
    assert len(ids) <= ROOM
    return [START, *ids, *[END] * (ROOM + 1 - len(ids))]


def latents(graphs: Graphs, shape: tuple[int, ...]) -> list[Array]:
    """x after each step, float32."""
    ids = np.array([tokens()], np.int32)
    text, empty = graphs.open("text_encoder").run(["text_states"], {"input_ids": ids})[0], graphs.empty_states()
    session = graphs.open("denoiser")
    sigma = [float(level) for level in levels(STEPS, graphs.manifest["sampler"]["shift"], None)]
    x = np.array(noise(SEED, shape), np.float32).reshape(shape)
    done, x0 = list[Array](), list[Array]()
    for i in range(1, STEPS + 1):
        feed = {"latent": x, "timestep": np.array([sigma[i - 1]], np.float32)}
        told, untold = (session.run(["velocity"], {**feed, "text_states": states})[0] for states in (text, empty))
        velocity = untold + np.float32(GUIDANCE) * (told - untold)
        x0.append(x - np.float32(sigma[i - 1]) * velocity)
        ratio = sigma[i] / sigma[i - 1]
        x = np.float32(ratio) * x + np.float32(1 - ratio) * (x0[-1] + second_order(sigma, i, x0))
        done.append(x)
    return done


def second_order(sigma: list[float], i: int, x0: list[Array]) -> Array | np.float32:
    """(x0_{i-1} - x0_{i-2}) / (2 r_i); nothing where a step of first order is asked for."""
    if i == 1 or sigma[i - 2] == 1 or sigma[i] == 0:
        return np.float32(0)
    r = (log_snr(sigma[i - 1]) - log_snr(sigma[i - 2])) / (log_snr(sigma[i]) - log_snr(sigma[i - 1]))
    return np.float32(1 / (2 * r)) * (x0[-1] - x0[-2])


def write(bundle: Path, out: Path) -> dict[str, Any]:
    """Write latents and picture into `out`; -> the content of nano.json."""
    graphs = Graphs(bundle)
    latent, (side, *_) = graphs.manifest["latent"], graphs.manifest["resolutions"]
    shape = (1, latent["channels"], side // latent["scale"], side // latent["scale"])
    steps = latents(graphs, shape)
    stored = np.stack(steps).astype("<f4")
    (out / LATENTS).write_bytes(stored.tobytes())
    (image,) = graphs.open("decoder").run(["image"], {"latent": stored[-1]})
    levelled = pixels(image.shape, image.ravel().tolist())
    Image.frombytes("RGB", (side, side), levelled).save(out / PICTURE)
    return {
        "prompt": PROMPT,
        "tokens": tokens(),
        "seed": str(SEED),
        "steps": STEPS,
        "guidance": GUIDANCE,
        "method": METHOD,
        "shift": graphs.manifest["sampler"]["shift"],
        "resolution": side,
        "threads": THREADS,
        "weights_digest": graphs.manifest["source"]["digest"],
        "latents": LATENTS,
        "shape": list(stored.shape),
        "picture": PICTURE,
    }
