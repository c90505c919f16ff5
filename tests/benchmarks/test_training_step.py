"""The training-step benchmark: peers of like size on the same tokens, and steps that do train."""

import json
from collections.abc import Callable

import pytest
import torch

import training_step
from lira.latents import latent_kind
from lira.presets import get_preset


@pytest.mark.parametrize("latent", ["f8c4", "f32c32"])
def test_the_peers_are_as_deep_and_as_large_as_small(latent: str) -> None:
    kind = latent_kind(latent)
    with torch.device("meta"):
        networks = training_step.subjects("small", kind)
    sizes = {name: subject.parameters for name, subject in networks.items()}
    assert sizes["LiRA"] == pytest.approx(140e6, rel=0.02)
    assert sizes["SANA"] == pytest.approx(sizes["LiRA"], rel=0.1) and sizes["DiT"] == pytest.approx(
        sizes["LiRA"], rel=0.1
    )
    assert {len(networks[name].network.transformer_blocks) for name in ("SANA", "DiT")} == {get_preset("small").blocks}


def test_every_network_sees_the_tokens_of_the_latent() -> None:
    kind = latent_kind("f8c4")
    inputs = torch.randn(1, 4, 32, 32), torch.rand(1), torch.randn(1, 77, 768)
    for subject in (training_step.sana(64, 1, kind), training_step.dit(64, 1, kind)):
        seen: list[int] = []
        block = subject.network.transformer_blocks[0]
        block.register_forward_pre_hook(
            lambda block, args, kwargs, seen=seen: seen.append(args[0].shape[1]), with_kwargs=True
        )
        assert subject.velocity(*inputs).shape[-2:] == (32, 32)
        assert seen == [256]


def test_the_width_nearest_in_parameters_is_taken() -> None:
    def make(width: int, blocks: int, kind: object) -> training_step.Subject:
        return training_step.Subject(torch.nn.Linear(width, blocks, bias=False), lambda z_t, t, text: z_t)

    found = [
        training_step.of_like_size(make, 10, latent_kind("f8c4"), goal).parameters for goal in (100, 950, 970, 1900)
    ]
    assert found == [640, 640, 1280, 1920]


def test_a_step_learns_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = latent_kind("f32c32")
    inputs = torch.randn(2, 32, 8, 8), torch.rand(2), torch.randn(2, 77, 768)
    for subject in (training_step.sana(64, 1, kind), training_step.dit(64, 1, kind)):
        step = training_step.training_step(subject, inputs, bf16=False)
        losses = [step() for _ in range(20)]
        assert losses[-1] < losses[0]


def test_measure_compares_the_medians_and_main_prints_one_object(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_turn(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
        return {name: (1 + index) * 1000.0 * rounds for index, (name, run) in enumerate(runs.items()) if run() > 0}

    monkeypatch.setattr(training_step, "interleaved", in_turn)
    arguments = ["--config", "nano", "--latent", "f32c32", "--batch", "2", "--rounds", "1", "--bf16", "--json"]
    monkeypatch.setattr("sys.argv", ["training_step.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        training_step.main()
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)
    assert [row["network"] for row in found["rows"]] == ["LiRA", "SANA", "DiT"]
    assert [row["images/s"] for row in found["rows"]] == pytest.approx([2, 1, 2 / 3])
    assert found["figures"]["SANA step / LiRA step"] == 2 and found["figures"]["DiT step / LiRA step"] == 3
    assert "64 tokens" in found["title"] and "bf16" in found["title"]
