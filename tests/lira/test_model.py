"""The denoiser: sizes, start, residual equivalence, reasoning and its share of the compute."""

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from lira.layers import CrossStateFusion, SelectiveScan2D, modulate, sincos_positions, transpose_grid
from lira.model import LiRAModel, wake_zero_weights
from lira.presets import PRESETS, PUBLISHED, count_parameters, get_preset
from lira.reasoning import ReasoningLoop
from lira.scan import scan_sequential
from lira_runtime.errors import BadInput


def nano(wake: bool = True, patch_size: int = 2) -> LiRAModel:
    torch.manual_seed(0)
    model = LiRAModel("nano", in_channels=4, d_text=32, patch_size=patch_size)
    if wake:
        wake_zero_weights(model)
    return model


def inputs(batch: int = 2, side: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(batch, 4, side, side), torch.rand(batch), torch.randn(batch, 77, 32)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_its_published_parameters(name: str) -> None:
    target, tolerance = PUBLISHED[name]
    assert abs(count_parameters(name) / target - 1) <= tolerance


def test_nano_has_a_few_million_parameters() -> None:
    assert 2e6 < count_parameters("nano") < 1e7


def test_an_unknown_preset_is_named_with_the_choices() -> None:
    with pytest.raises(BadInput, match="huge.*nano"):
        get_preset("huge")


def test_a_latent_that_no_patch_divides_is_refused() -> None:
    with pytest.raises(BadInput, match="7x7"):
        nano()(*inputs(side=7))


def test_the_velocity_is_zero_at_initialisation() -> None:
    assert not nano(wake=False)(*inputs())[0].any()


@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_the_velocity_has_the_shape_of_the_latent(patch_size: int) -> None:
    assert nano(patch_size=patch_size)(*inputs())[0].shape == (2, 4, 8, 8)


def test_every_parameter_is_trained() -> None:
    model = nano().train()
    with torch.no_grad():
        for block in model.blocks:
            if block.skip is not None:
                block.skip.fill_(0.1)
    v, info = model(*inputs())
    (v.square().sum() + info["halting"].square().sum()).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def plain_residual(model: LiRAModel, z: torch.Tensor, t: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """A pre-norm residual network written out from the model's own sublayers, without any hyper-connection."""
    grid = (z.shape[2] // model.patch_size, z.shape[3] // model.patch_size)
    text = model.text_norm(text)
    x = model.patch_embedding(z).flatten(2).transpose(1, 2) + sincos_positions(grid, model.preset.d_model)
    time = model.time_embedding(t)
    cond = F.silu(time + model.reasoning.out_proj(model.reasoning(x, text, time).plan))
    for block in model.blocks:
        shift_s, scale_s, gate_s, shift_f, scale_f, gate_f = block.modulation(cond).chunk(6, dim=-1)
        x = x + gate_s[:, None] * block.scan(modulate(x, shift_s, scale_s), grid)
        x = x + gate_f[:, None] * block.ffn(modulate(x, shift_f, scale_f), grid)
        if block.fusion is not None:
            x = x + block.fusion(x, text)
    return model._project(x, cond, grid)


@torch.no_grad()
def test_hyper_connections_start_as_a_pre_norm_residual_network() -> None:
    model, batch = nano().double().eval(), [item.double() for item in inputs()]
    assert float((model(*batch)[0] - plain_residual(model, *batch)).abs().max()) <= 1e-12


def test_a_long_skip_joins_a_block_to_its_mirror() -> None:
    model = nano().eval()
    taken: dict[int, torch.Tensor] = {}
    given: dict[int, torch.Tensor] = {}
    for index, block in enumerate(model.blocks):
        block.register_forward_hook(
            lambda module, args, output, index=index: taken.__setitem__(index, (output[0] + output[1]) / 2)
        )
        block.register_forward_pre_hook(lambda module, args, index=index: given.__setitem__(index, args[1]))
    model(*inputs())
    last = len(model.blocks) - 1
    for index in range(len(model.blocks)):
        if index <= last // 2:
            assert given[index] is None
        else:
            assert torch.equal(given[index], taken[last - index])


@torch.no_grad()
@pytest.mark.parametrize("grid", [(1, 1), (1, 7), (7, 1), (3, 5), (9, 13)])
def test_the_four_directions_are_the_recurrence_over_the_grid_in_four_orders(grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    preset, N = PRESETS["nano"], grid[0] * grid[1]
    scan = SelectiveScan2D(preset).double()
    scan.chunk = 4
    torch.nn.init.normal_(scan.D)
    u = torch.randn(1, N, preset.d_model, dtype=torch.float64)
    x, gate = scan.in_proj(u).chunk(2, -1)
    rows, columns = scan.select(u).chunk(2, -1)
    cells = torch.arange(N).reshape(grid)
    orders = [cells.flatten(), cells.flatten().flip(0), cells.T.flatten(), cells.T.flatten().flip(0)]
    heads = x.reshape(1, N, scan.heads, -1)
    selections = [*scan.selections(rows), *scan.selections(columns)]
    mean = torch.zeros_like(heads)
    for order, selection, D in zip(orders, selections, scan.D, strict=True):
        ordered = [item[:, order] for item in selection]
        mean[:, order] += scan_sequential(heads[:, order], *ordered, D) / 4
    g = torch.sigmoid(gate)
    wanted = scan.out_proj(g * mean.reshape(x.shape) + (1 - g) * x)
    assert float((scan(u, grid) - wanted).abs().max()) <= 1e-10


def test_transposing_a_grid_twice_gives_it_back() -> None:
    x = torch.randn(2, 15, 3)
    assert torch.equal(transpose_grid(transpose_grid(x, (3, 5)), (5, 3)), x)
    assert torch.equal(transpose_grid(x, (3, 5))[:, 1], x[:, 5])


def test_the_fusion_is_gated_linear_attention_over_the_text() -> None:
    torch.manual_seed(0)
    preset = PRESETS["nano"]
    fusion = CrossStateFusion(preset, 32).double()
    x, text = torch.randn(1, 6, preset.d_model).double(), torch.randn(1, 9, 32).double()
    u = F.layer_norm(x, (preset.d_model,))
    query, (key, value) = fusion.query(u), fusion.key_value(text).chunk(2, -1)
    read = torch.zeros_like(x)
    width = preset.fusion_head_width
    for head in range(0, preset.d_model, width):
        part = slice(head, head + width)
        weights = query[..., part] @ key[..., part].transpose(1, 2) / 9
        read[..., part] = weights @ value[..., part]
    g = torch.sigmoid(fusion.gate(u))
    assert torch.allclose(x + fusion(x, text), g * read + (1 - g) * x, atol=1e-10)


@pytest.mark.parametrize("name", ["tiny", "small"])
@torch.no_grad()
def test_all_steps_of_reasoning_take_at_most_one_percent_of_the_compute_at_1024_tokens(name: str) -> None:
    preset = PRESETS[name]
    loop = ReasoningLoop(preset, d_text=768)
    loop.stop.bias.fill_(-100.0)
    batch = (torch.randn(1, 1024, preset.d_model), torch.randn(1, 77, 768), torch.randn(1, preset.d_cond))
    with FlopCounterMode(display=False) as reasoning:
        reasoned = loop(*batch)
        loop.out_proj(reasoned.plan)
    assert reasoned.steps.tolist() == [preset.reasoning_steps]
    with FlopCounterMode(display=False) as pondering:
        loop.out_proj(loop.ponder(*batch).plan)
    assert reasoning.get_total_flops() == pondering.get_total_flops()
    # Shapes alone, for speed: they hold no gates to read, but in training mode all steps are taken.
    with FakeTensorMode(), FlopCounterMode(display=False) as whole:
        model = LiRAModel(name, in_channels=32, d_text=768, patch_size=1).train()
        model(torch.randn(1, 32, 32, 32), torch.rand(1), torch.randn(1, 77, 768))
    share = reasoning.get_total_flops() / whole.get_total_flops()
    assert 0 < share <= 0.01, f"{share:.2%}"
    print(f"{name}: reasoning takes {share:.2%} of {whole.get_total_flops() / 1e9:.1f} GFLOP")
