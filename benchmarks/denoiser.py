"""How long is one denoiser step, and how far is it from what this machine's GEMMs allow?

`python benchmarks/denoiser.py [--config small] [--bundle build/small-onnx] [--threads 2]`: the int8 step of an exported
bundle, eager float32, and the int8 and float32 GEMM ceilings, all in one run; medians, as a table and as JSON.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

from lira_export.bundle import Order, write_bundle
from lira_export.recipes import get_recipe
from lira_export.sources import Models, Request, load_models
from lira_runtime.backends.session import SessionSettings, open_session, session_options
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, cli_guard

GEMM_ROWS, GEMM_DEPTH, GEMM_COLUMNS = 1024, 2048, 2048


def milliseconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def fp32_ceiling() -> float:
    """GFLOP/s of a large float32 matrix product in PyTorch."""
    a, b = torch.randn(GEMM_ROWS, GEMM_DEPTH), torch.randn(GEMM_DEPTH, GEMM_COLUMNS)
    return 2 * GEMM_ROWS * GEMM_DEPTH * GEMM_COLUMNS / milliseconds(lambda: a @ b, 15) / 1e6


def int8_ceiling(threads: int) -> float:
    """Gop/s of a large uint8 x int8 MatMulInteger with a constant right side in onnxruntime."""
    weight = np.random.default_rng(0).integers(-127, 128, (GEMM_DEPTH, GEMM_COLUMNS), np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "w"], ["y"])],
        "gemm",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [GEMM_ROWS, GEMM_DEPTH])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [GEMM_ROWS, GEMM_COLUMNS])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = session_options(SessionSettings(threads=threads))
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    a = np.random.default_rng(1).integers(0, 256, (GEMM_ROWS, GEMM_DEPTH), np.uint8)
    return 2 * GEMM_ROWS * GEMM_DEPTH * GEMM_COLUMNS / milliseconds(lambda: session.run(None, {"a": a}), 15) / 1e6


def bundle_step(bundle: Bundle, threads: int) -> float:
    """Milliseconds of one step of the bundle's denoiser."""
    session = open_session(bundle.graph("denoiser"), SessionSettings(threads=threads))
    rng = np.random.default_rng(0)
    feed = {i.name: rng.random(i.shape, np.float32) for i in session.get_inputs()}
    return milliseconds(lambda: session.run(None, feed), 9)


@torch.inference_mode()
def eager_step(models: Models) -> tuple[float, float]:
    """Milliseconds and GFLOP of one eager float32 step."""
    kind = models.kind
    latent = torch.randn(kind.shape(models.resolution, models.resolution))
    inputs = (latent, torch.tensor([0.5]), torch.randn(1, 77, models.text_encoder.width))
    with FlopCounterMode(display=False) as counter:
        models.denoiser(*inputs)
    return milliseconds(lambda: models.denoiser(*inputs), 5), counter.get_total_flops() / 1e9


@click.command()
@click.option("--config", default="small", show_default=True)
@click.option("--bundle", "path", type=click.Path(path_type=Path), help="Exported first where it is missing.")
@click.option("--threads", default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def command(config: str, path: Path | None, threads: int, as_json: bool) -> None:
    """Time a denoiser step against eager and against the machine's ceilings."""
    torch.set_num_threads(threads)
    path = path or Path("build") / f"{config}-onnx"
    models = load_models(Request(config))
    if not path.exists():
        write_bundle(Order(config, get_recipe("int8"), path), models, lambda line: click.echo(line, err=True))
    bundle = Bundle.open(path)
    made_of = (bundle.manifest.preset, bundle.manifest.latent.name, bundle.manifest.resolution)
    if made_of != (config, models.kind.name, models.resolution):
        raise BadInput(f"{path} is {made_of}, not what is asked for; give another --bundle.")
    eager_ms, gflop = eager_step(models)
    fp32, int8 = fp32_ceiling(), int8_ceiling(threads)
    step_ms = bundle_step(bundle, threads)
    figures = {
        "step GFLOP": gflop,
        "int8 step ms": step_ms,
        "eager fp32 step ms": eager_ms,
        "fp32 GEMM ceiling GFLOP/s": fp32,
        "int8 GEMM ceiling Gop/s": int8,
        "int8 GEMM floor ms": 1e3 * gflop / int8,
        "fp32 GEMM floor ms": 1e3 * gflop / fp32,
        "eager fp32 / int8 step": eager_ms / step_ms,
        "int8 step / int8 GEMM floor": step_ms * int8 / gflop / 1e3,
        "int8 step / fp32 GEMM floor": step_ms * fp32 / gflop / 1e3,
    }
    if as_json:
        click.echo(json.dumps({"config": config, "resolution": models.resolution, "threads": threads, **figures}))
        return
    click.echo(f"{config}, {models.resolution} px, latent {models.kind.name}, {threads} threads")
    for name, value in figures.items():
        click.echo(f"  {name:30}{value:10.2f}")


main = cli_guard(command)

if __name__ == "__main__":
    main()
