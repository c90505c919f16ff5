"""Which parts of the denoiser must stay float? One group at a time is quantized, everything else is float32.

`python benchmarks/sensitivity.py [--plot docs/sensitivity.png]`: weights of every group of layers in each format that a
recipe stores them in, with and without their inputs in 8 bits; then every tensor inside the selective scan in 8 bits
and in float16, for both ways of computing log-decay gaps. Worst and median PSNR against eager float32 over the steps of
drawings that calibration does not make. Nothing is timed: `recipes.py` does that.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from statistics import median
from typing import cast

import click
import torch
from torch import Tensor, nn

from lira.model import LiRAModel
from lira.sources import Models, Request, load_models
from lira_export.parity import Sample, psnr_db
from lira_export.recipes import INT8
from lira_export.rewrite.denoiser import TraceableBlock, traceable_denoiser
from lira_export.trajectory import trajectory
from lira_runtime.errors import cli_guard
from lira_runtime.events import JSON_HELP
from recipes import PROMPTS
from report import Row, show_rows
from rounding import float16, own_range, palettized, per_block, per_channel, token_range
from scan_tensors import CARRIED, TENSORS, scan_rounded
from sensitivity_plot import draw

GROUPS: Mapping[str, tuple[str, ...]] = {
    "patch embedding": ("patch_embedding.weight",),
    "time embedding": ("time_embedding.*.weight",),
    "reasoning": ("reasoning.*.weight",),
    "modulation": ("blocks.*.modulation.weight",),
    "scan.value": ("blocks.*.scan.value.weight",),
    "scan.gate": ("blocks.*.scan.gate.weight",),
    "scan.maps (B, C)": ("blocks.*.scan.maps.weight",),
    "scan.rates (dt, A)": ("blocks.*.scan.rates.weight",),
    "scan.out_proj": ("blocks.*.scan.out_proj.weight",),
    "ffn.fc1": ("blocks.*.ffn.fc1.weight",),
    "ffn.conv": ("blocks.*.ffn.conv.weight",),
    "ffn.fc2": ("blocks.*.ffn.fc2.weight",),
    "fusion.query": ("blocks.*.fusion.query.weight",),
    "fusion.gate": ("blocks.*.fusion.gate.weight",),
    "fusion.key_value": ("blocks.*.fusion.key_value.weight",),
    "final modulation": ("final_modulation.weight",),
    "final projection": ("final_proj.weight",),
    "biases and vectors": ("*.bias", "*.D", "text_norm.weight", "*.skip", "*_connection.matrix"),
}
"""Patterns of parameters. Those of the last group belong to no product: one scale a tensor, and no input."""
VECTORS = "biases and vectors"


@dataclass(frozen=True)
class Format:
    """How weights are stored, and the inputs of their layers rounded; those of convolutions have one range."""

    weights: Callable[[Tensor], Tensor]
    inputs: Callable[[Tensor], Tensor] | None = None


FORMATS: Mapping[str, Format] = {
    "int8 weights": Format(partial(per_channel, largest=127)),
    "int8 weights and inputs": Format(partial(per_channel, largest=127), own_range),
    "int8 weights, inputs by token": Format(partial(per_channel, largest=127), token_range),
    "6-bit palettes": Format(palettized),
    "6-bit palettes of 16 channels": Format(partial(palettized, channels=16)),
    "int4 weights, blocks of 32": Format(partial(per_block, largest=7)),
    "int4 weights, inputs by token": Format(partial(per_channel, largest=7), token_range),
}


def parameters_of(model: nn.Module, group: str) -> dict[str, nn.Parameter]:
    """The parameters of a group by name."""
    patterns = GROUPS[group]
    return {name: p for name, p in model.named_parameters() if any(fnmatch(name, pattern) for pattern in patterns)}


def kept_float(model: nn.Module, group: str) -> bool:
    """Whether the recipe int8 keeps all layers of a group in float."""
    owners = (name.rpartition(".")[0] for name in parameters_of(model, group))
    return group == VECTORS or all(INT8.keeps_float("denoiser", owner) for owner in owners)


def stored(model: nn.Module, form: Format) -> dict[str, Tensor]:
    """Every parameter by name, as the format stores it."""
    vectors = parameters_of(model, VECTORS)
    return {
        name: form.weights(p.data.reshape(1, -1) if name in vectors else p.data).reshape(p.shape)
        for name, p in model.named_parameters()
    }


@contextmanager
def quantized(
    model: nn.Module,
    groups: Sequence[str],
    weights: Mapping[str, Tensor],
    inputs: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[None]:
    """While this lasts, the model computes with `weights` in some groups, whose inputs are rounded by `inputs`."""
    with ExitStack() as stack:
        for group in groups:
            for name, parameter in parameters_of(model, group).items():
                stack.callback(parameter.data.copy_, parameter.data.clone())
                parameter.data.copy_(weights[name])
                if inputs is not None and group != VECTORS:
                    layer = model.get_submodule(name.rpartition(".")[0])
                    rounding = own_range if isinstance(layer, nn.Conv2d) else inputs
                    stack.callback(_round_inputs(layer, rounding))
        yield


def _round_inputs(layer: nn.Module, rounding: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    """Returns what makes an end of it."""
    return layer.register_forward_pre_hook(lambda _, inputs: (rounding(inputs[0]), *inputs[1:])).remove


@torch.inference_mode()
def closeness(denoiser: nn.Module, samples: Sequence[Sample]) -> Row:
    """Worst and median PSNR of the velocities of a denoiser, eager or a twin."""
    decibels = []
    for sample in samples:
        inputs = (torch.from_numpy(sample.inputs[name]) for name in ("latent", "timestep", "text_states"))
        decibels.append(psnr_db(denoiser(*inputs)[0].numpy(), sample.reference))
    return {"worst dB": min(decibels), "median dB": median(decibels)}


def sweep_weights(denoiser: LiRAModel, samples: Sequence[Sample]) -> Iterator[Row]:
    """One row for each group and format; at the end of a format the groups that int8 quantizes, and all layers."""
    kept = {group: kept_float(denoiser, group) for group in GROUPS}
    layers = [group for group in GROUPS if group != VECTORS]
    together = {"all that int8 quantizes": [group for group in layers if not kept[group]], "all layers": layers}
    for name, form in FORMATS.items():
        weights = stored(denoiser, form)
        for part, groups in {**{group: [group] for group in GROUPS}, **together}.items():
            with quantized(denoiser, groups, weights, form.inputs):
                found = closeness(denoiser, samples)
            yield {"part": part, "what": name, "kept float": kept.get(part), **found}


def sweep_scan(models: Models, side: int, samples: Sequence[Sample]) -> Iterator[Row]:
    """One row for each tensor of the scan, rounding and form of the log-decay gaps.

    What chunks hand on is measured with rows cut in two.
    """
    together = {"all within a chunk": tuple(call for calls in TENSORS.values() for call in calls)}
    for form, segment_sums in {"differences": False, "segment sums": True}.items():
        twin = traceable_denoiser(models.denoiser, models.kind.shape(side, side)[2:], segment_sums)
        for tensors, chunk in (({**TENSORS, **together}, twin.preset.chunk), (CARRIED, min(twin.grid) // 2)):
            for block in cast(Iterable[TraceableBlock], twin.blocks):
                block.scan.chunk = chunk
            for name, calls in tensors.items():
                for what, rounding in {"8 bits": own_range, "float16": float16}.items():
                    with scan_rounded(twin, calls, rounding):
                        found = closeness(twin, samples)
                    yield {
                        "part": name,
                        "what": f"{what}, {form}",
                        "kept float": None if name in together else True,
                        **found,
                    }


def measure(models: Models, side: int, steps: int) -> tuple[list[Row], list[Row]]:
    """Rows of the layers and of the scan's tensors, over drawings of `side` px and `steps` steps."""
    drawings = (trajectory(models, prompt, seed, steps, side) for seed, prompt in enumerate(PROMPTS))
    samples = [sample for drawing in drawings for sample in drawing]
    return list(sweep_weights(models.denoiser, samples)), list(sweep_scan(models, side, samples))


@click.command()
@click.option("--config", default="nano", show_default=True)
@click.option("--resolution", type=click.IntRange(min=1), help="In px; the config's own by default.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True, help="Of each trajectory.")
@click.option("--plot", type=click.Path(path_type=Path), help="Also draw both panels to this PNG.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(config: str, resolution: int | None, threads: int, steps: int, plot: Path | None, as_json: bool) -> None:
    """Closeness to eager float32 with one part quantized at a time."""
    torch.set_num_threads(threads)
    models = load_models(Request(config, resolution=resolution))
    layers, scan = measure(models, models.resolution, steps)
    title = f"sensitivity: {config}, {models.resolution} px, {steps} steps of {len(PROMPTS)} drawings"
    show_rows(title, [*layers, *scan], {}, as_json)
    if plot is not None:
        draw(layers, scan, plot)


main = cli_guard(command)

if __name__ == "__main__":
    main()
