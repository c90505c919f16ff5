"""The banded twin of the decoder against the eager one, and that no band reads too little."""

import pytest
import torch

from lira.decoder import FINISH_OVERLAP, TinyDecoder
from lira.latents import LATENT_KINDS, LatentKind
from lira.model import wake_zero_weights
from lira_export.rewrite import decoder as rewrite
from lira_export.rewrite.decoder import row_bands, traceable_decoder

KINDS = list(LATENT_KINDS.values())
ONE_MIB = 1 << 20


def eager_decoder(kind: LatentKind) -> TinyDecoder:
    torch.manual_seed(0)
    made = TinyDecoder(kind).eval()
    wake_zero_weights(made)
    return made


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("size", [(256, 64), (64, 160), (352, 32)], ids=str)
def test_one_to_eight_bands_draw_the_whole_picture(kind: LatentKind, size: tuple[int, int]) -> None:
    eager = eager_decoder(kind).double()  # float32 rounds differently for tensors of another size
    latent = torch.randn(1, kind.channels, *(side // kind.scale for side in size)).double()
    wanted = eager(latent)
    assert wanted.std() > 0.01
    for bands in range(1, 9):
        band_rows = -(-(size[0] // 8) // bands)
        found = traceable_decoder(eager, tuple(latent.shape[2:]), band_rows)(latent)
        assert float((found - wanted).abs().max()) <= 1e-12, bands


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_stem_as_one_strided_convolution_equals_unshuffle_and_pointwise(kind: LatentKind) -> None:
    eager = eager_decoder(kind).double()
    latent = torch.randn(kind.shape(64, 96)).double()
    unshuffled = torch.nn.functional.pixel_unshuffle(latent, 32 // kind.scale)
    twin = traceable_decoder(eager, tuple(latent.shape[2:]))
    assert float((twin.stem(latent) - eager.stem(unshuffled)).abs().max()) <= 1e-12


@pytest.mark.parametrize("rows", [8, 64], ids=["one band", "bands"])
def test_the_twin_has_rank_four_and_nothing_that_core_ml_refuses(rows: int) -> None:
    kind = LATENT_KINDS["f8c4"]
    twin = traceable_decoder(eager_decoder(kind), (rows, 256))
    assert (len(twin.bands) > 1) == (rows == 64)
    program = torch.export.export(twin, (torch.randn(1, kind.channels, rows, 256),)).run_decompositions({})
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert max(node.meta["val"].ndim for node in calls if "val" in node.meta) == 4
    assert not {str(node.target) for node in calls} & {"alias", "aten.alias.default", "aten.pixel_unshuffle.default"}


@pytest.mark.parametrize("rows", [4, 16, 23, 44, 128])
@pytest.mark.parametrize("band_rows", [1, 5, 16, 64])
def test_bands_cover_every_row_once_and_read_what_it_needs_in_equal_windows(rows: int, band_rows: int) -> None:
    bands = row_bands(rows, band_rows)
    assert [row for band in bands for row in range(band.top, band.bottom)] == list(range(rows))
    assert len({band.stop - band.start for band in bands}) == 1
    for band in bands:
        assert 0 <= band.start <= max(0, band.top - FINISH_OVERLAP)
        assert min(rows, band.bottom + FINISH_OVERLAP) <= band.stop <= rows


@torch.no_grad()
def test_bands_in_float32_are_within_a_millionth_of_the_range() -> None:
    kind = LATENT_KINDS["f32c32"]
    eager, latent = eager_decoder(kind), torch.randn(kind.shape(384, 128))
    wanted = eager(latent)
    found = traceable_decoder(eager, tuple(latent.shape[2:]), band_rows=16)(latent)
    assert float((found - wanted).abs().max() / wanted.abs().max()) <= 1e-6


@torch.no_grad()
def test_one_row_less_of_overlap_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = LATENT_KINDS["f32c32"]
    eager, latent = eager_decoder(kind).double(), torch.randn(kind.shape(384, 64)).double()
    monkeypatch.setattr(rewrite, "FINISH_OVERLAP", FINISH_OVERLAP - 1)
    assert float((traceable_decoder(eager, (12, 2), band_rows=16)(latent) - eager(latent)).abs().max()) > 1e-5


@pytest.mark.parametrize("size", [(1024, 1024), (256, 256), (4096, 64)], ids=str)
def test_no_feature_of_the_finish_is_whole_where_the_picture_is_large(size: tuple[int, int]) -> None:
    kind = LATENT_KINDS["f32c32"]
    with torch.device("meta"):
        twin = rewrite.BandedDecoder(kind, (size[0] // 32, size[1] // 32))
        shape = kind.shape(*size)
    program = torch.export.export(twin, (torch.empty(shape, device="meta"),))
    sizes = {node.name: node.meta["val"].nbytes for node in program.graph.nodes if node.op == "call_function"}
    picture = 3 * size[0] * size[1] * 4
    large = [name for name, nbytes in sizes.items() if nbytes > max(picture / 2, 4 * ONE_MIB)]
    assert all(sizes[name] == picture for name in large) and len(large) <= 1
