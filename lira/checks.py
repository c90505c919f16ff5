"""The eight checks of the architecture that `python test_lira.py` runs; each returns one line of evidence or raises."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from lira.layers import HyperConnection, sincos_positions
from lira.model import LiRAModel, wake_zero_weights
from lira.presets import PUBLISHED, count_parameters
from lira.scan import Selection, scan_chunked, scan_pair, scan_sequential


def _nano(patch_size: int = 2) -> LiRAModel:
    torch.manual_seed(0)
    return LiRAModel("nano", in_channels=4, d_text=64, patch_size=patch_size)


@torch.no_grad()
def _stop_half_at_step_two(model: LiRAModel, z: torch.Tensor, t: torch.Tensor, text: torch.Tensor) -> None:
    """Shift the stop gate so that it opens for half of the samples at step 2."""
    loop = model.reasoning
    tokens = model.patch_embedding(z).permute(0, 2, 3, 1)
    tokens = tokens + sincos_positions(*tokens.shape[1:])
    thought = loop.prepare(tokens, model.text_norm(text), model.time_embedding(t))
    r = loop.step(thought, loop.step(thought, loop.first(thought))[0])[0]
    loop.stop.bias.sub_(loop.stop(r).median())


def _scan_inputs(G: int, N: int) -> tuple[torch.Tensor, Selection, torch.Tensor]:
    x = torch.randn(G, N, 3, 4, dtype=torch.float64)
    dt, A = torch.rand(2, G, N, 3, dtype=torch.float64)
    B, C = torch.randn(2, G, N, 5, dtype=torch.float64)
    return x, Selection(dt, -2 * A, B, C), torch.randn(3, dtype=torch.float64)


def presets_have_their_published_size() -> str:
    counts = {name: count_parameters(name) for name in PUBLISHED}
    for name, (target, tolerance) in PUBLISHED.items():
        assert abs(counts[name] / target - 1) <= tolerance, f"{name} has {counts[name]:,} parameters"
    return ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in counts.items())


def quick_start_runs() -> str:
    model = LiRAModel(config_name="tiny", in_channels=4, d_text=768, patch_size=2)
    v, info = model(torch.randn(1, 4, 32, 32), torch.rand(1), torch.randn(1, 77, 768))
    assert v.shape == (1, 4, 32, 32)
    return f"velocity {tuple(v.shape)}, {int(info['total_steps'])} reasoning steps"


def chunked_scan_equals_the_recurrence() -> str:
    worst = 0.0
    for N, chunk in ((1, 4), (37, 8), (64, 64), (150, 16), (400, 3)):
        x, selection, D = _scan_inputs(2, N)
        gap = scan_chunked(x, *selection, D, chunk) - scan_sequential(x, *selection, D)
        worst = max(worst, float(gap.abs().max()))
    assert worst <= 1e-10, worst
    return f"largest difference {worst:.1e} in float64"


def paired_scan_equals_two_recurrences() -> str:
    x, forward, D = _scan_inputs(2, 90)
    backward = _scan_inputs(2, 90)[1]
    flipped = Selection(*(item.flip(1) for item in backward))
    wanted = scan_sequential(x, *forward, D) + scan_sequential(x.flip(1), *flipped, D).flip(1)
    gap = float((scan_pair(x, forward, backward, 2 * D, 16) - wanted).abs().max())
    assert gap <= 1e-10, gap
    return f"largest difference {gap:.1e} in float64"


def reasoning_stops_each_sample_on_its_own() -> str:
    model = _nano().double().eval()
    wake_zero_weights(model)
    inputs = (torch.randn(8, 4, 16, 16).double(), torch.rand(8).double(), torch.randn(8, 77, 64).double())
    _stop_half_at_step_two(model, *inputs)
    together = model(*inputs)[1]["total_steps"].tolist()
    alone = [int(model(*(item[i : i + 1] for item in inputs))[1]["total_steps"]) for i in range(8)]
    assert together == alone and len(set(alone)) > 1, (together, alone)
    assert min(alone) >= 2 and max(alone) <= model.preset.reasoning_steps
    return f"steps taken by eight samples: {alone}"


def hyper_connections_start_as_a_residual() -> str:
    torch.manual_seed(0)
    x, layers = torch.randn(2, 5, 8), [torch.nn.Linear(8, 8) for _ in range(6)]
    streams, plain = (x, x), x
    for index, layer in enumerate(layers):
        connection = HyperConnection(index)
        streams = connection.write(streams, layer(connection.read(streams)))
        plain = plain + layer(plain)
    assert torch.equal((streams[0] + streams[1]) / 2, plain)
    return "six sublayers, equal bit for bit"


def velocity_starts_at_zero() -> str:
    v, _ = _nano()(torch.randn(2, 4, 16, 16), torch.rand(2), torch.randn(2, 77, 64))
    assert not v.any()
    return "every value 0"


def cost_grows_linearly_with_tokens() -> str:
    flops = []
    for side in (32, 64):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            _nano().eval()(torch.randn(1, 4, side, side), torch.rand(1), torch.randn(1, 77, 64))
        flops.append(counter.get_total_flops())
    ratio = flops[1] / flops[0]
    assert ratio <= 4.1, ratio
    return f"4 x the tokens cost {ratio:.2f} x the FLOPs"


CHECKS: tuple[Callable[[], str], ...] = (
    presets_have_their_published_size,
    quick_start_runs,
    chunked_scan_equals_the_recurrence,
    paired_scan_equals_two_recurrences,
    reasoning_stops_each_sample_on_its_own,
    hyper_connections_start_as_a_residual,
    velocity_starts_at_zero,
    cost_grows_linearly_with_tokens,
)
