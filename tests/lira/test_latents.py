"""Latent kinds: the shapes of the spec's table, and refusals."""

import pytest

from lira.latents import DEMO_SHAPE, LATENT_KINDS, latent_kind
from lira_runtime.errors import BadInput


@pytest.mark.parametrize(("name", "channels", "tokens"), [("f32c32", 32, 1024), ("f8c16", 16, 4096), ("f8c4", 4, 4096)])
def test_a_1024_px_picture_has_the_tokens_of_the_spec(name: str, channels: int, tokens: int) -> None:
    kind = latent_kind(name)
    _, c, h, w = kind.shape(1024, 1024)
    assert c == channels
    assert h * w // kind.patch_size**2 == tokens


def test_the_demo_kind_has_the_shape_it_claims() -> None:
    demo, shape = LATENT_KINDS["demo"], LATENT_KINDS[DEMO_SHAPE]
    assert (demo.channels, demo.scale) == (shape.channels, shape.scale)


@pytest.mark.parametrize("side", [0, 8, 250, 1020, 1040])
def test_a_side_that_does_not_divide_is_refused_with_the_step_named(side: int) -> None:
    with pytest.raises(BadInput, match="multiples of 32"):
        latent_kind("f8c4").shape(1024, side)


@pytest.mark.parametrize("side", [4128, 10**6, 10**12])
def test_a_side_that_no_memory_could_hold_is_refused(side: int) -> None:
    with pytest.raises(BadInput, match="at most 4096 px"):
        latent_kind("f32c32").shape(side, 1024)


def test_an_unknown_kind_is_refused_and_the_choices_are_named() -> None:
    with pytest.raises(BadInput, match="f32c32, f8c16, f8c4, demo"):
        latent_kind("f64")


def test_every_key_is_its_kinds_own_name() -> None:
    assert all(name == kind.name for name, kind in LATENT_KINDS.items())
