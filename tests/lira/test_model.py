"""The denoiser: sizes, start, residual equivalence, reasoning and its share of the compute."""

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from lira.layers import CrossStateFusion, SelectiveScan2D, modulate, sincos_positions
from lira.model import Block, LiRAModel, wake_zero_weights
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
    text = model.text_norm(text)
    x = model.patch_embedding(z).movedim(1, -1)
    x = x + sincos_positions(*x.shape[1:])
    time = model.time_embedding(t)
    cond = F.silu(time + model.reasoning.out_proj(model.reasoning(x, text, time).plan))
    for block in model.blocks:
        shift_s, scale_s, gate_s, shift_f, scale_f, gate_f = block.modulation(cond).chunk(6, dim=-1)
        x = x + gate_s[:, None, None] * block.scan(modulate(x, shift_s, scale_s))
        x = x + gate_f[:, None, None] * block.ffn(modulate(x, shift_f, scale_f))
        if block.fusion is not None:
            x = x + block.fusion(x, text)
    return model._project(x, cond)


@torch.no_grad()
def test_hyper_connections_start_as_a_pre_norm_residual_network() -> None:
    model, batch = nano().double().eval(), [item.double() for item in inputs()]
    assert float((model(*batch)[0] - plain_residual(model, *batch)).abs().max()) <= 1e-12


def test_a_long_skip_carries_what_the_next_block_reads_to_the_mirror_block() -> None:
    model = nano().eval()
    read: dict[int, torch.Tensor] = {}
    given: dict[int, torch.Tensor] = {}
    for index, block in enumerate(model.blocks):

        def remember(module: Block, args: tuple[torch.Tensor, ...], index: int = index) -> None:
            matrix, (first, second) = module.scan_connection.matrix, args[0]
            read[index], given[index] = matrix[1, 0] * first + matrix[2, 0] * second, args[1]

        block.register_forward_pre_hook(remember)
    model(*inputs())
    last = len(model.blocks) - 1
    for index in range(len(model.blocks)):
        if index <= last // 2:
            assert given[index] is None
        else:
            assert torch.equal(given[index], read[last - index + 1])


def test_a_long_skip_is_written_like_the_output_of_the_scan() -> None:
    torch.manual_seed(0)
    block = nano().blocks[-1]
    with torch.no_grad():
        block.skip.normal_()
        block.scan_connection.matrix.add_(0.1 * torch.randn(3, 3))
        block.modulation.weight.zero_()
    x, text = torch.randn(1, 4, 4, 192), torch.randn(1, 77, 32)
    cond, skipped = torch.zeros(1, 384), torch.randn(1, 4, 4, 192)
    with torch.no_grad():
        block.modulation.bias.zero_()
    matrix = block.scan_connection.matrix
    streams = tuple(matrix[0, j] * block.skip * skipped + (matrix[1, j] + matrix[2, j]) * x for j in (1, 2))
    assert all(
        torch.allclose(found, wanted, atol=1e-5)
        for found, wanted in zip(
            block((x, x), skipped, cond, text),
            block.fusion_connection.write(streams, block.fusion(block.fusion_connection.read(streams), text)),
            strict=True,
        )
    )


@torch.no_grad()
@pytest.mark.parametrize("grid", [(1, 1), (1, 7), (7, 1), (3, 5), (9, 13)])
def test_the_four_directions_are_the_recurrence_along_every_row_and_column_both_ways(grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    preset, (rows, columns) = PRESETS["nano"], grid
    scan = SelectiveScan2D(preset).double()
    scan.chunk = 4
    torch.nn.init.normal_(scan.D)
    H, S = scan.heads, scan.states
    u = torch.randn(1, *grid, preset.d_model, dtype=torch.float64)
    x = scan.value(u)
    maps, rates = scan.maps(u).unflatten(-1, (2, 4, S)), F.softplus(scan.rates(u)).unflatten(-1, (2, 4, H))
    mean = torch.zeros(*grid, H, x.shape[-1] // H).double()
    lines = [(i, slice(None)) for i in range(rows)] + [(slice(None), j) for j in range(columns)]
    for line in lines:
        layout = 1 if isinstance(line[0], slice) else 0
        for backward in (0, 1):
            direction = 2 * layout + backward
            values = (x[0].unflatten(-1, (H, -1)), rates[0, :, :, 0, direction], -rates[0, :, :, 1, direction],
                      maps[0, :, :, layout, backward], maps[0, :, :, layout, 2 + backward])  # fmt: skip
            sequence = [item[line] for item in values]
            if backward:
                sequence = [item.flip(0) for item in sequence]
            y = scan_sequential(*(item[None] for item in sequence), scan.D[direction])[0]
            mean[line] += (y.flip(0) if backward else y) / 4
    g = torch.sigmoid(scan.gate(u))
    wanted = scan.out_proj(g * mean.reshape(x.shape) + (1 - g) * x)
    assert float((scan(u) - wanted).abs().max()) <= 1e-10


def test_the_fusion_is_gated_linear_attention_over_the_text() -> None:
    torch.manual_seed(0)
    preset = PRESETS["nano"]
    fusion = CrossStateFusion(preset, 32).double()
    x, text = torch.randn(1, 2, 3, preset.d_model).double(), torch.randn(1, 9, 32).double()
    u = F.layer_norm(x, (preset.d_model,))
    query, (key, value) = fusion.query(u), fusion.key_value(text).chunk(2, -1)
    read = torch.zeros_like(x)
    width = preset.fusion_head_width
    for head in range(0, preset.d_model, width):
        part = slice(head, head + width)
        weights = query[..., part] @ key[:, None, :, part].transpose(-2, -1) / 9
        read[..., part] = weights @ value[:, None, :, part]
    g = torch.sigmoid(fusion.gate(u))
    assert torch.allclose(x + fusion(x, text), g * read + (1 - g) * x, atol=1e-10)


@pytest.mark.parametrize("name", ["tiny", "small"])
@torch.no_grad()
def test_all_steps_of_reasoning_take_at_most_one_percent_of_the_compute_at_1024_tokens(name: str) -> None:
    preset = PRESETS[name]
    loop = ReasoningLoop(preset, d_text=768)
    loop.stop.bias.fill_(-100.0)
    batch = (torch.randn(1, 32, 32, preset.d_model), torch.randn(1, 77, 768), torch.randn(1, preset.d_cond))
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
