"""A network belongs to the encoders that made its data: others are refused wherever both are known."""

import hashlib
from pathlib import Path

import msgspec
import pytest
import torch

from lira.checkpoint import read_metadata, save_module, weights_digest
from lira.data.synthetic import SyntheticData
from lira.model import LiRAModel
from lira.training import denoiser
from lira.training.batches import Batches, check_network
from lira.training.recipe import Recipe, resolve
from lira_runtime.errors import BadInput

BOTH = pytest.mark.parametrize(("field", "what"), [("encoder", "image encoder"), ("text_encoder", "text encoder")])


def data_of(**encoders: str) -> SyntheticData:
    data = SyntheticData("demo", 64, 32)
    data.description = msgspec.structs.replace(data.description, **encoders)
    return data


def smoke(steps: int = 1) -> Recipe:
    small = ["model.latent=demo", "stages.0.resolution=64", "stages.0.batch=2", "run.bf16=false"]
    return resolve("smoke", [*small, f"stages.0.steps={steps}", "optimiser.warmup_steps=0"])


@BOTH
def test_stages_of_different_encoders_are_refused(field: str, what: str) -> None:
    recipe = smoke()
    recipe = msgspec.structs.replace(recipe, stages=recipe.stages * 2)
    shares = [slice(0, 2)] * 2
    with pytest.raises(BadInput, match=f"Stage 2 trains on data of another {what} than the first stage"):
        Batches(recipe, [data_of(**{field: "a"}), data_of(**{field: "b"})], shares)
    Batches(recipe, [data_of(**{field: "a"}), data_of()], shares)


def test_weights_tell_the_encoders_and_a_run_goes_on_with_them_alone(tmp_path: Path) -> None:
    one, other = 32 * "ab", 32 * "cd"
    denoiser.run(smoke(1), [data_of(encoder="a", text_encoder=one)], tmp_path, resume=False)
    stored = read_metadata(tmp_path / "denoiser.safetensors")
    assert (stored["encoder"], stored["text_encoder"]) == ("a", one)
    with pytest.raises(BadInput, match=r"was trained with another text encoder\.$"):
        denoiser.run(smoke(2), [data_of(encoder="a", text_encoder=other)], tmp_path, resume=True)


def test_a_run_that_did_not_know_its_encoders_goes_on(tmp_path: Path) -> None:
    denoiser.run(smoke(1), [data_of()], tmp_path, resume=False)
    assert "encoder" not in read_metadata(tmp_path / "denoiser.safetensors")
    denoiser.run(smoke(2), [data_of(encoder="a")], tmp_path, resume=True)
    assert read_metadata(tmp_path / "denoiser.safetensors")["encoder"] == "a"


@BOTH
def test_a_run_begins_with_weights_of_other_encoders_and_says_so(tmp_path: Path, capsys, field: str, what: str) -> None:
    denoiser.run(smoke(), [data_of(**{field: "a"})], tmp_path / "one", resume=False)
    weights, sentence = tmp_path / "one" / "denoiser.safetensors", f"another {what} than the data."
    for other, count in (("a", 0), ("b", 1)):
        denoiser.run(smoke(), [data_of(**{field: other})], tmp_path / f"two {other}", resume=False, start=weights)
        assert capsys.readouterr().err.count(sentence) == count
    assert read_metadata(tmp_path / "two b" / "denoiser.safetensors")[field] == "b"
    weights.unlink()
    denoiser.run(smoke(2), [data_of(**{field: "b"})], tmp_path / "two b", resume=True, start=weights)
    assert sentence not in capsys.readouterr().err, "what a run began with does not count when it goes on"


@BOTH
def test_a_network_is_not_distilled_on_data_of_another_encoder(tmp_path: Path, field: str, what: str) -> None:
    network, path = LiRAModel("nano", 4, 32, 4), tmp_path / "denoiser.safetensors"
    save_module(network, path, torch.float16, {field: "a"})
    with pytest.raises(BadInput, match=f"another {what} than the data"):
        check_network(network, data_of(**{field: "b"}), path)
    check_network(network, data_of(**{field: "a"}), path)
    check_network(network, data_of(), path)
    save_module(network, path, torch.float16)
    check_network(network, data_of(**{field: "b"}), path)


def test_the_digest_is_of_names_types_shapes_and_values() -> None:
    linear = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(linear.weight, 1.0)
    torch.nn.init.constant_(linear.bias, 2.0)
    content = b"bias torch.float32 (1,)" + b"\x00\x00\x00\x40" + b"weight torch.float32 (1, 1)" + b"\x00\x00\x80\x3f"
    assert weights_digest(linear) == hashlib.sha256(content).hexdigest()
