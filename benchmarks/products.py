"""Which matrix products gain from int8 on this processor, in which form?

`python benchmarks/products.py`: every shape of product that a step of the config runs, in each form that ONNX has for
it, Gop/s in onnxruntime; all forms of a shape take turns. Forms: float32 MatMul; MatMulInteger with uint8 activations
and int8 weights (what LiRA writes), uint8 and uint8, int8 and int8; `dynamic`, the whole of float in, quantize,
multiply, scale, float out; `uint8 out`, QLinearMatMul. The table's head says what the processor offers.
"""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import TensorProto, helper

from lira.presets import get_preset
from lira_runtime.errors import cli_guard
from lira_runtime.events import JSON_HELP
from report import Row, show_rows
from timing import interleaved, product_of

ROWS = 1024
FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm", "sve")
Nodes = list[onnx.NodeProto]


def shapes(config: str) -> dict[str, tuple[int, int]]:
    """(in, out) of the products of one block, by module."""
    p = get_preset(config)
    return {
        "scan.value": (p.d_model, p.d_scan),
        "scan.maps": (p.d_model, 8 * p.d_state),
        "scan.out_proj": (p.d_scan, p.d_model),
        "ffn.fc1": (p.d_model, p.d_ffn),
        "ffn.fc2": (p.d_ffn, p.d_model),
    }


def forms(rows: int, depth: int, columns: int, threads: int) -> dict[str, Callable[[], object]]:
    """A call for each form of x (rows, depth) @ W (depth, columns)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, depth)).astype(np.float32)
    x_u8, x_s8 = (x * 30 + 128).clip(0, 255).astype(np.uint8), (x * 30).clip(-128, 127).astype(np.int8)
    w = rng.integers(-127, 128, (depth, columns)).astype(np.int8)
    scale = {"s": np.array(0.03, np.float32), "ws": np.full(columns, 0.01, np.float32)}
    integer = [helper.make_node("MatMulInteger", ["x", "w"], ["y"])]
    dynamic = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "xs", "xz"]),
        helper.make_node("MatMulInteger", ["q", "w", "xz"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["xs", "ws"], ["xws"]),
        helper.make_node("Mul", ["f", "xws"], ["y"]),
    ]
    uint8_out = [helper.make_node("QLinearMatMul", ["x", "s", "z", "w", "ws", "wz", "ys", "z"], ["y"])]
    zeros = {"z": np.array(128, np.uint8), "wz": np.zeros(columns, np.int8), "ys": np.array(0.5, np.float32)}

    def run(nodes: Nodes, x: np.ndarray, constants: dict[str, np.ndarray]) -> Callable[[], object]:
        return product_of(nodes, x, constants, threads)

    return {
        "float32": run([helper.make_node("MatMul", ["x", "w"], ["y"])], x, {"w": w.astype(np.float32)}),
        "u8 x s8": run(integer, x_u8, {"w": w}),
        "u8 x u8": run(integer, x_u8, {"w": (w.astype(np.int16) + 127).astype(np.uint8)}),
        "s8 x s8": run(integer, x_s8, {"w": w}),
        "dynamic": run(dynamic, x, {"w": w, **scale}),
        "uint8 out": run(uint8_out, x_u8, {"w": w, **scale, **zeros}),
    }


def measure(config: str, rows: int, threads: int, rounds: int) -> list[Row]:
    """One row for each shape: Gop/s of every form."""
    table = []
    for module, (depth, columns) in shapes(config).items():
        times = interleaved(forms(rows, depth, columns, threads), rounds)
        gop = 2 * rows * depth * columns / 1e9
        table.append(
            {"module": module, "in": depth, "out": columns, **{form: 1e3 * gop / ms for form, ms in times.items()}}
        )
    return table


def processor_features() -> str:
    """The processor's instructions for products of small numbers, as Linux names them."""
    path = Path("/proc/cpuinfo")
    words = set(path.read_text().split()) if path.exists() else set()
    return ", ".join(feature for feature in FEATURES if feature in words) or "unknown"


@click.command()
@click.option("--config", default="small", show_default=True)
@click.option("--rows", type=click.IntRange(min=1), default=ROWS, show_default=True, help="Image tokens.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(config: str, rows: int, threads: int, rounds: int, as_json: bool) -> None:
    """Gop/s of every product of a block, in every form."""
    title = f"products: {config}, {rows} tokens, {threads} threads, processor with {processor_features()}; Gop/s"
    show_rows(title, measure(config, rows, threads, rounds), {}, as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()
