"""How long is a training step, and how long is one of SANA's and of DiT's networks of like size?

`python benchmarks/training_step.py [--latent f32c32] [--bf16]`: forward, backward and AdamW of LiRA at 256 px beside
diffusers' SanaTransformer2DModel and DiTTransformer2DModel, all in turn in one run, on as many tokens of the same
latent; medians. The peers have the published proportions (SANA-0.6B's heads and Mix-FFN, DiT's heads and MLP), random
weights, as many blocks as LiRA, and the width that comes nearest to its parameters. SANA reads the same text states,
DiT a class. LiRA's reasoning loop takes all its steps, as it does in training.
"""

from collections.abc import Callable
from dataclasses import dataclass

import click
import torch
import torch.nn.functional as F
from diffusers import DiTTransformer2DModel, SanaTransformer2DModel
from torch import Tensor, nn

from lira.latents import LatentKind, latent_kind
from lira.model import LiRAModel
from lira.presets import get_preset
from lira.training.loop import adamw
from lira.training.recipe import Optimiser
from lira_runtime.errors import cli_guard
from lira_runtime.events import JSON_HELP
from lira_runtime.interface import PROMPT_TOKENS
from report import Row, show_rows
from timing import gflop, interleaved

RESOLUTION, D_TEXT = 256, 768
WIDTH_STEP = 64
"""Of the peers: DiT's heads and SANA's cross-attention heads are 64 wide here, SANA's own 32."""


@dataclass(frozen=True)
class Subject:
    """A network to train; `velocity` calls it on z_t (b, C, h, w), t (b,) and text states (b, 77, 768)."""

    network: nn.Module
    velocity: Callable[[Tensor, Tensor, Tensor], Tensor]

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())


def lira(preset: str, kind: LatentKind) -> Subject:
    """LiRA in training mode."""
    network = LiRAModel(preset, kind.channels, D_TEXT, kind.patch_size).train()
    return Subject(network, lambda z_t, t, text: network(z_t, t, text)[0])


def sana(width: int, blocks: int, kind: LatentKind) -> Subject:
    """SANA's network."""
    network = SanaTransformer2DModel(
        in_channels=kind.channels,
        out_channels=kind.channels,
        num_attention_heads=width // 32,
        attention_head_dim=32,
        num_layers=blocks,
        num_cross_attention_heads=width // WIDTH_STEP,
        cross_attention_head_dim=WIDTH_STEP,
        cross_attention_dim=width,
        caption_channels=D_TEXT,
        mlp_ratio=2.5,
        sample_size=RESOLUTION // kind.scale,
        patch_size=kind.patch_size,
    ).train()
    return Subject(network, lambda z_t, t, text: network(z_t, text, 1000 * t, return_dict=False)[0])


def dit(width: int, blocks: int, kind: LatentKind) -> Subject:
    """DiT's network; every picture is of class 0, whatever the text."""
    network = DiTTransformer2DModel(
        in_channels=kind.channels,
        num_attention_heads=width // WIDTH_STEP,
        attention_head_dim=WIDTH_STEP,
        num_layers=blocks,
        sample_size=RESOLUTION // kind.scale,
        patch_size=kind.patch_size,
    ).train()

    def velocity(z_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        classes = torch.zeros(len(t), dtype=torch.int64, device=t.device)
        return network(z_t, (1000 * t).long(), classes, return_dict=False)[0]

    return Subject(network, velocity)


def of_like_size(make: Callable[[int, int, LatentKind], Subject], blocks: int, kind: LatentKind, goal: int) -> Subject:
    """The network of that many blocks whose parameters come nearest to `goal`; the others are built without memory."""
    width, sizes = WIDTH_STEP, dict[int, int]()
    while not sizes or sizes[width - WIDTH_STEP] < goal:
        with torch.device("meta"):
            sizes[width] = make(width, blocks, kind).parameters
        width += WIDTH_STEP
    return make(min(sizes, key=lambda found: abs(sizes[found] - goal)), blocks, kind)


def subjects(preset: str, kind: LatentKind) -> dict[str, Subject]:
    """LiRA and its peers, by name."""
    torch.manual_seed(0)
    own, blocks = lira(preset, kind), get_preset(preset).blocks
    peers = {"SANA": sana, "DiT": dit}
    return {"LiRA": own, **{name: of_like_size(make, blocks, kind, own.parameters) for name, make in peers.items()}}


def training_step(subject: Subject, inputs: tuple[Tensor, Tensor, Tensor], bf16: bool) -> Callable[[], float]:
    """A call that does one step towards a fixed target and returns its loss."""
    optimiser = adamw(subject.network, Optimiser(rate=1e-4))
    target = torch.randn_like(inputs[0])

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            v = subject.velocity(*inputs)
        loss = F.mse_loss(v.float(), target)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def measure(preset: str, kind: LatentKind, batch: int, rounds: int, bf16: bool) -> tuple[list[Row], dict[str, float]]:
    """A row for each network, and the peers' times over LiRA's."""
    shape = kind.shape(RESOLUTION, RESOLUTION)[1:]
    inputs = torch.randn(batch, *shape), torch.rand(batch), torch.randn(batch, PROMPT_TOKENS, D_TEXT)
    networks = subjects(preset, kind)
    times = interleaved({name: training_step(each, inputs, bf16) for name, each in networks.items()}, rounds)
    for each in networks.values():
        each.network.requires_grad_(False)  # which the counter of arithmetic cannot see through
    rows = [
        {
            "network": name,
            "parameters M": each.parameters / 1e6,
            "forward GFLOP": gflop(lambda each=each: each.velocity(*inputs)),
            "step s": times[name] / 1e3,
            "images/s": 1e3 * batch / times[name],
        }
        for name, each in networks.items()
    ]
    return rows, {f"{name} step / LiRA step": times[name] / times["LiRA"] for name in ("SANA", "DiT")}


@click.command()
@click.option("--config", default="small", show_default=True)
@click.option("--latent", type=click.Choice(["f8c4", "f32c32"]), default="f8c4", show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--bf16", is_flag=True, help="Autocast to bfloat16.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(config: str, latent: str, batch: int, rounds: int, bf16: bool, threads: int, as_json: bool) -> None:
    """Time a training step at 256 px against SANA's and DiT's of like size."""
    torch.set_num_threads(threads)
    kind = latent_kind(latent)
    tokens = (RESOLUTION // (kind.scale * kind.patch_size)) ** 2
    rows, figures = measure(config, kind, batch, rounds, bf16)
    made_of = f"batch {batch} of {tokens} tokens ({latent}), {'bf16' if bf16 else 'fp32'}, {threads} threads"
    show_rows(f"training step: {config}, {RESOLUTION} px, {made_of}", rows, figures, as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()
