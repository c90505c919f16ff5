"""TinyDecoder: size, shape, cost, locality and the undoing of the latent's normalisation."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lira.decoder import FINISH_OVERLAP, TinyDecoder
from lira.latents import LATENT_KINDS, LatentKind

KINDS = list(LATENT_KINDS.values())


def seeded_decoder(kind: LatentKind) -> TinyDecoder:
    """A decoder whose every weight is random, those that start at zero too."""
    torch.manual_seed(0)
    decoder = TinyDecoder(kind).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return decoder


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_decoder_has_0_24_million_parameters_within_5_percent(kind: LatentKind) -> None:
    count = sum(p.numel() for p in TinyDecoder(kind).parameters())
    assert abs(count - 240_000) <= 0.05 * 240_000
    assert 2 * count < 1_000_000, "fp16 weights must stay below 1 MB"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_latent_becomes_a_picture_of_scale_times_its_size(kind: LatentKind) -> None:
    with torch.no_grad():
        image = TinyDecoder(kind)(torch.randn(kind.shape(256, 128)))
    assert image.shape == (1, 3, 256, 128)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_1024_px_picture_costs_less_than_5_gflop(kind: LatentKind) -> None:
    with torch.device("meta"):
        decoder, latent = TinyDecoder(kind), torch.randn(kind.shape(1024, 1024))
    with FlopCounterMode(display=False) as counter:
        decoder(latent)
    assert counter.get_total_flops() < 5e9


@torch.no_grad()
def test_a_row_of_the_finish_depends_on_the_overlap_and_no_further() -> None:
    decoder = seeded_decoder(LATENT_KINDS["f32c32"]).double()
    features, row = torch.randn(1, 80, 32, 8).double(), 16
    finished = decoder.finish(features)[:, :, 2 * row : 2 * row + 2]
    reached = []
    for distance in range(1, FINISH_OVERLAP + 3):
        changed = features.clone()
        changed[:, :, row + distance] += 1
        changed[:, :, row - distance] += 1
        reached.append(not torch.equal(decoder.finish(changed)[:, :, 2 * row : 2 * row + 2], finished))
    assert reached == [True] * FINISH_OVERLAP + [False] * 2


def test_scaling_and_shift_are_undone_inside() -> None:
    plain = seeded_decoder(LatentKind("plain", channels=32, scale=32, patch_size=1))
    scaled = TinyDecoder(LatentKind("scaled", channels=32, scale=32, patch_size=1, scaling=0.25, shift=0.5)).eval()
    weights = {k: v for k, v in plain.state_dict().items() if k not in ("scaling", "shift")}
    scaled.load_state_dict(weights, strict=False)
    raw = torch.randn(1, 32, 2, 2)
    with torch.no_grad():
        torch.testing.assert_close(scaled((raw - 0.5) * 0.25), plain(raw), rtol=1e-4, atol=1e-5)


def test_the_last_operation_is_a_pixel_shuffle_to_rgb() -> None:
    decoder = TinyDecoder(LATENT_KINDS["f32c32"])
    assert isinstance(decoder.to_rgb, torch.nn.PixelShuffle)
    assert list(dict(decoder.named_children()))[-1] == "to_rgb"
