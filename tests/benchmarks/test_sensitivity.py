"""The sweep quantizes what it says it does: expected losses come from NumPy, hooks and the sequential scan."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import report
import sensitivity
import sensitivity_plot
from lira.model import LiRAModel, wake_zero_weights
from lira.presets import PRESETS
from lira.scan import Selection, scan_pair, scan_sequential
from lira.sources import Models, Request, load_models
from lira_export.parity import Sample, psnr_db
from rounding import float16, own_range, palettized, per_block, per_channel, token_range
from scan_tensors import CARRIED, TENSORS, RoundCalls, scan_rounded
from sensitivity import FORMATS, GROUPS, VECTORS

INT8 = FORMATS["int8 weights"]
TINY = replace(PRESETS["nano"], name="wee", blocks=2, d_model=64, head_width=48, reasoning_width=32, reasoning_steps=2)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    """Two blocks, 64 wide, 8 x 8 tokens."""
    monkeypatch.setitem(PRESETS, TINY.name, TINY)
    return load_models(Request(TINY.name, latent="f8c4", resolution=128, text_encoder="demo", seed=3))


@pytest.fixture
def samples(models: Models) -> list[Sample]:
    """Two inputs of the denoiser and its velocities."""
    generator = torch.Generator().manual_seed(1)
    return [Sample(feed, velocity(models.denoiser, feed)) for feed in (_feed(models, generator) for _ in range(2))]


def _feed(models: Models, generator: torch.Generator) -> dict[str, Any]:
    shapes = {"latent": models.kind.shape(128, 128), "text_states": (1, 77, models.text_encoder.width)}
    drawn = {name: torch.randn(shape, generator=generator).numpy() for name, shape in shapes.items()}
    return {**drawn, "timestep": np.array([0.6], np.float32)}


@torch.inference_mode()
def velocity(denoiser: nn.Module, feed: dict[str, Any]) -> NDArray[np.float32]:
    found: Tensor = denoiser(*(torch.from_numpy(feed[name]) for name in ("latent", "timestep", "text_states")))[0]
    return found.numpy()


@pytest.mark.parametrize("config", [*PRESETS])
def test_groups_cover_every_parameter_once(config: str):
    with torch.device("meta"):
        model = LiRAModel(config, in_channels=4, d_text=64, patch_size=2)
    found = Counter(name for group in GROUPS for name in sensitivity.parameters_of(model, group))
    assert found == Counter(name for name, _ in model.named_parameters())
    assert all(sensitivity.parameters_of(model, group) for group in GROUPS)


def test_weights_that_int8_holds_exactly_lose_nothing(models: Models):
    generator = torch.Generator().manual_seed(0)
    for weight in sensitivity.parameters_of(models.denoiser, "ffn.fc2").values():
        integers = torch.randint(-126, 127, weight.shape, generator=generator)
        integers[:, 0] = 127
        weight.data.copy_(integers * 2.0**-11)
    feed = _feed(models, generator)
    exact = [Sample(feed, velocity(models.denoiser, feed))]
    with sensitivity.quantized(models.denoiser, ["ffn.fc2"], sensitivity.stored(models.denoiser, INT8)):
        assert sensitivity.closeness(models.denoiser, exact)["worst dB"] == np.inf
    with sensitivity.quantized(models.denoiser, ["ffn.fc1"], sensitivity.stored(models.denoiser, INT8)):
        assert sensitivity.closeness(models.denoiser, exact)["worst dB"] < 120


def test_an_outlier_costs_what_numpy_says_and_leaves_the_model_as_it_was(models: Models):
    group = sensitivity.parameters_of(models.denoiser, "scan.value")
    for weight in group.values():
        weight.data[:, 5] = 40.0
    feed = _feed(models, torch.Generator().manual_seed(2))
    before = {name: weight.detach().clone() for name, weight in models.denoiser.named_parameters()}
    sample = Sample(feed, velocity(models.denoiser, feed))
    with sensitivity.quantized(models.denoiser, ["scan.value"], sensitivity.stored(models.denoiser, INT8)):
        found = sensitivity.closeness(models.denoiser, [sample])["worst dB"]
    for name, weight in models.denoiser.named_parameters():
        assert torch.equal(weight, before[name]), name
    for weight in group.values():
        rows = weight.detach().numpy().astype(np.float64)
        step = np.max(np.abs(rows), axis=1, keepdims=True) / 127
        weight.data.copy_(torch.from_numpy(np.rint(rows / step) * step))
    expected = psnr_db(velocity(models.denoiser, feed), sample.reference)
    assert expected < 60, "the outlier must cost something"
    assert found == pytest.approx(expected, abs=0.01)


def test_inputs_are_quantized_where_the_format_says_so(models: Models, samples: list[Sample]):
    seen: list[Tensor] = []
    layer = models.denoiser.blocks[0].ffn.fc1
    for name, form in FORMATS.items():
        weights = sensitivity.stored(models.denoiser, form)
        with sensitivity.quantized(models.denoiser, ["ffn.fc1"], weights, form.inputs):
            hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
            sensitivity.closeness(models.denoiser, samples[:1])
            hook.remove()
        assert (len(seen[-1].unique()) <= 256) == (form.inputs is own_range), name
        exact = np.array_equal(seen[-1].numpy(), seen[0].numpy())
        assert exact == (form.inputs is None), name


def test_formats_hold_as_many_values_as_their_bits():
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(4))
    assert max(len(row.unique()) for row in per_channel(weight, 7)) <= 15
    assert max(len(block.unique()) for block in per_block(weight, 7).reshape(-1, 32)) <= 15
    assert len(palettized(weight).unique()) == 64
    assert max(len(part.unique()) for part in palettized(weight, 16).split(16)) == 64
    values = torch.rand(1000) * 3 - 1
    assert len(own_range(values).unique()) <= 256
    assert (own_range(values) - values).abs().max() <= 0.5001 * 3 / 255
    tokens = torch.stack([values, values * 1e-3])
    assert ((token_range(tokens) - tokens).abs().amax(1) <= 0.5001 * 3 / 255 * torch.tensor([1, 1e-3])).all()
    for form in (per_channel(weight, 127), per_block(weight, 7), palettized(weight, 16)):
        assert psnr_db(form.numpy(), weight.numpy()) > 25


@pytest.mark.parametrize("segment_sums", [False, True])
def test_rounding_inside_the_scan_is_rounding_of_what_the_recurrence_reads(segment_sums: bool):
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(3, 12, 2, 5, generator=generator, dtype=torch.float64)
    pair = [
        Selection(
            torch.rand(3, 12, 2, generator=generator, dtype=torch.float64) + 0.1,
            -torch.rand(3, 12, 2, generator=generator, dtype=torch.float64),
            *torch.randn(2, 3, 12, 4, generator=generator, dtype=torch.float64),
        )
        for _ in range(2)
    ]
    coarse = [Selection(s.dt, _eighths(s.dt * s.A) / s.dt, s.B, s.C) for s in pair]
    for tensor, inputs in {"x": (_eighths(x), pair), "a = dt A": (x, coarse)}.items():
        with RoundCalls(TENSORS[tensor], _eighths, set()):
            found = scan_pair(x, *pair, None, 6, segment_sums)
        torch.testing.assert_close(found, _both_ways(inputs[0], *inputs[1]))


def _eighths(tensor: Tensor) -> Tensor:
    return (tensor * 8).round() / 8


def _both_ways(x: Tensor, forward: Selection, backward: Selection) -> Tensor:
    none = x.new_zeros(x.shape[2])
    back = scan_sequential(x.flip(1), *(item.flip(1) for item in backward), none).flip(1)
    return scan_sequential(x, *forward, none) + back


def test_rounding_b_and_c_is_rounding_what_their_projection_gives(models: Models, samples: list[Sample]):
    denoiser = models.denoiser
    with scan_rounded(denoiser, TENSORS["B"] + TENSORS["C"], float16):
        found = velocity(denoiser, samples[0].inputs)
    hooks = [block.scan.maps.register_forward_hook(lambda *call: float16(call[2])) for block in denoiser.blocks]
    expected = velocity(denoiser, samples[0].inputs)
    for hook in hooks:
        hook.remove()
    assert 0 < np.abs(expected - samples[0].reference).max()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_tensor_that_the_scan_does_not_make_is_an_error(models: Models, samples: list[Sample]):
    with pytest.raises(RuntimeError, match="makes none of these calls"):
        with scan_rounded(models.denoiser, CARRIED["C e^L"], float16):
            velocity(models.denoiser, samples[0].inputs)  # one chunk: nothing is carried
    assert "forward" not in vars(models.denoiser.blocks[0].scan)


def test_the_sweep_has_every_part_and_the_plot_shows_the_recipe(models: Models, tmp_path: Any):
    wake_zero_weights(models.denoiser)
    layers, scan = sensitivity.measure(models, 128, steps=1)
    assert {(row["part"], row["what"]) for row in layers} >= {(part, what) for part in GROUPS for what in FORMATS}
    assert {row["part"] for row in scan} >= {*TENSORS, *CARRIED}
    kept = {row["part"] for row in layers if row["kept float"]}
    assert kept == {
        "patch embedding", "time embedding", "reasoning", "final modulation", "final projection", VECTORS,
    }  # fmt: skip
    together = {row["part"]: row["worst dB"] for row in layers if row["what"] == "int8 weights and inputs"}
    assert together["all layers"] < min(together[part] for part in GROUPS if part != VECTORS)
    sensitivity_plot.draw(layers, scan, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    report.show_rows("sensitivity", [*layers, *scan], {}, as_json=True)
