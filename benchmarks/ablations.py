"""What does each change of the traceable denoiser bring? Takes one back at a time and times all forms in turn.

`python benchmarks/ablations.py`: ms of a step of the full form, of every form that lacks one change, and what that
change saves. Weights are drawn from a seed and calibrated ranges are made up: time does not depend on them. Forms
compute what the model computes (`raster` and `heads of 96` another model of the same size). Forms called `not kept`
have a change that was dropped; in `text outside` the fusion's text states are constants, the most it could bring.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import Tensor

from case import BUILD
from fresh import random_feed
from lira import presets
from lira.layers import LAYOUTS, CrossStateFusion, MixFFN
from lira.scan import Selection, scan_pair
from lira.sources import Request, load_models
from lira_export.calibration import HiddenRange
from lira_export.components import build_components
from lira_export.onnx.convert import to_onnx
from lira_export.onnx.half import store_half
from lira_export.onnx.quantize import quantize
from lira_export.recipes import Recipe, get_recipe
from lira_export.rewrite import denoiser as rewrite
from lira_export.rewrite.denoiser import TraceableDenoiser, TraceableScan
from lira_runtime.backends.session import SessionSettings, session_options
from lira_runtime.errors import cli_guard
from lira_runtime.events import JSON_HELP
from report import Row, show_rows
from timing import interleaved

INT8 = get_recipe("int8", "onnx")
FULL = "full form"


@dataclass(frozen=True)
class Form:
    """`patches` are (owner, attribute, value) while the graph is made; `arena` is the session's."""

    patches: tuple[tuple[Any, str, Any], ...] = ()
    recipe: Recipe = INT8
    head_width: int | None = None
    arena: bool = True


def float_also(*patterns: str) -> Recipe:
    """The int8 recipe with more modules in float."""
    return replace(INT8, keep_float={"denoiser": (*INT8.keep_float["denoiser"], *patterns)})


def run_on_streams(self: TraceableDenoiser, tokens: Tensor, cond: Tensor, text: Tensor) -> Tensor:
    """`TraceableDenoiser._run_blocks` on the two streams themselves."""
    streams, skips = (tokens, tokens), []
    for index, block in enumerate(self.blocks):
        r = block.scan_connection.read(streams)
        if 1 <= index <= self.preset.blocks // 2:
            skips.append(r)
        shift_s, scale_s, gate_s, shift_f, scale_f, gate_f = block.modulation(cond).flatten().split(r.shape[-1])
        output = gate_s * block.scan(rewrite.modulated(r, shift_s, scale_s))
        if block.skip is not None:
            output = output + block.skip * skips.pop()
        streams = block.scan_connection.write(streams, output)
        r = block.ffn_connection.read(streams)
        streams = block.ffn_connection.write(streams, gate_f * block.ffn(rewrite.modulated(r, shift_f, scale_f)))
        if block.fusion is not None:
            read = block.fusion_connection.read(streams)
            streams = block.fusion_connection.write(streams, block.fusion(read, text))
    return (streams[0] + streams[1]) / 2


def modulated_inside(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """`rewrite.denoiser.modulated` by the layer norm's own weight and bias."""
    return F.layer_norm(x, x.shape[-1:], 1 + scale, shift)


def scan_in_raster_order(self: TraceableScan, u: Tensor) -> Tensor:
    """`TraceableScan.forward` with all rows as one sequence, and all columns: chunks of a row carry a state."""
    x = self.value(u)
    _, h, w, _ = x.shape
    heads = x.reshape(h, w, self.heads, -1)
    maps = self.maps(u)[0].chunk(LAYOUTS, dim=-1)
    dt, A = (item[0].chunk(LAYOUTS, dim=-1) for item in self.steps_and_decays(u))

    def flat(pair: tuple[Selection, Selection]) -> list[Selection]:
        return [Selection(*(item.reshape(1, h * w, -1) for item in each)) for each in pair]

    rows = flat(self.selections(maps[0], dt[0], A[0]))
    columns = flat(self.selections(*(item.transpose(0, 1) for item in (maps[1], dt[1], A[1]))))
    change = scan_pair(heads.reshape(1, h * w, self.heads, -1), *rows, self.skip(), w).reshape(heads.shape)
    turned = heads.transpose(0, 1).reshape(1, h * w, self.heads, -1)
    change = change + scan_pair(turned, *columns, None, h).reshape(w, h, self.heads, -1).transpose(0, 1)
    return self.out_proj(x + torch.sigmoid(self.gate(u)) * change.reshape(x.shape))


def constant_text_state(self: CrossStateFusion, text: Tensor) -> Tensor:
    """`CrossStateFusion.text_state` without the text."""
    width = self.query.out_features // self.heads
    return torch.full((1, self.heads, width, width), 0.01)


FORMS = {
    FULL: Form(),
    "arena off": Form(arena=False),
    "hidden layer in float": Form(recipe=get_recipe("int8-dynamic", "onnx")),
    "raster scan, carried states": Form(((TraceableScan, "forward", scan_in_raster_order),)),
    "heads of 96 in place of 192": Form(head_width=96),
    "B, C, dt, A in float": Form(recipe=float_also("*.scan.maps", "*.scan.rates")),
    "fusion's gate in float": Form(recipe=float_also("*.fusion.gate")),
    "streams in place of readings": Form(((TraceableDenoiser, "_run_blocks", run_on_streams),)),
    "AdaLN inside layer norm (not kept)": Form(((rewrite, "modulated", modulated_inside),)),
    "text outside (not kept)": Form(((CrossStateFusion, "text_state", constant_text_state),)),
}


@contextmanager
def applied(form: Form, config: str) -> Iterator[None]:
    """The patches of a form, and its preset."""
    preset = presets.PRESETS[config]
    changed = preset if form.head_width is None else replace(preset, head_width=form.head_width)
    with ExitStack() as stack:
        stack.enter_context(patch.dict(presets.PRESETS, {config: changed}))
        for owner, name, value in form.patches:
            stack.enter_context(patch.object(owner, name, value))
        yield


def write_graph(config: str, form: Form, graph: Path, request: Request) -> None:
    """Export the denoiser in a form."""
    with applied(form, config):
        models = load_models(request)
        ranges = {
            name: HiddenRange(np.ones(module.conv.out_channels, np.float32), 1.0)
            for name, module in models.denoiser.named_modules()
            if isinstance(module, MixFFN)
        }
        known = ranges if form.recipe.calibrated else None
        model = to_onnx(build_components(models, models.resolution, ("denoiser",))[0])
        ir.save(store_half(quantize(model, "denoiser", form.recipe, known)), graph, external_data=f"{graph.name}.data")


def runner(graph: Path, threads: int, arena: bool) -> Callable[[], object]:
    """A call that runs a graph in the runtime's session, with or without its workspace kept."""
    options = session_options(SessionSettings(threads=threads))
    options.enable_cpu_mem_arena = arena
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    inputs = random_feed(session.get_inputs())
    return lambda: session.run(None, inputs)


def measure(request: Request, folder: Path, threads: int, rounds: int) -> list[Row]:
    """One row for each form; the graphs are written below `folder`, which is removed at the end."""
    folder.mkdir(parents=True)
    try:
        runs = {}
        for index, (name, form) in enumerate(FORMS.items()):
            graph = folder / f"{index}.onnx"
            write_graph(request.config, form, graph, request)
            runs[name] = runner(graph, threads, form.arena)
        times = interleaved(runs, rounds)
        full = times[FULL]
        return [
            {"form": n, "ms": ms, "saved ms": ms - full, "of the step %": 100 * (ms / full - 1)}
            for n, ms in times.items()
        ]
    finally:
        shutil.rmtree(folder)


@click.command()
@click.option("--config", default="small", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(config: str, threads: int, rounds: int, as_json: bool) -> None:
    """Time of a step without each change."""
    torch.set_num_threads(threads)
    rows = measure(Request(config), BUILD / f"ablations-{config}", threads, rounds)
    show_rows(f"ablations: {config}, {threads} threads", rows, {}, as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()
