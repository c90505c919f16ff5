"""Weights on disk: what is written comes back, and every misfit is one sentence that names its cause."""

import json
import os
import resource
import struct
from pathlib import Path

import pytest
import torch
from torch import nn

from lira.checkpoint import load_module, load_tensors, save_module, save_tensors
from lira_runtime.errors import BadInput


def test_tensors_and_metadata_come_back_unchanged(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6).reshape(2, 3).t(), "b": torch.tensor(2.5, dtype=torch.bfloat16)}
    save_tensors(tmp_path / "w.safetensors", tensors, {"kind": "demo"})
    loaded, metadata = load_tensors(tmp_path / "w.safetensors")
    assert metadata == {"kind": "demo"}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[k], tensors[k]) and loaded[k].dtype == tensors[k].dtype for k in tensors)


def test_a_module_saved_in_half_precision_is_half_the_size_and_close(tmp_path: Path) -> None:
    source, target = nn.Linear(64, 64), nn.Linear(64, 64)
    save_module(source, tmp_path / "half.safetensors", torch.float16)
    save_module(source, tmp_path / "full.safetensors", torch.float32)
    load_module(target, tmp_path / "half.safetensors")
    assert target.weight.dtype == torch.float32
    torch.testing.assert_close(target.weight, source.weight, rtol=1e-3, atol=1e-6)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "full.safetensors").stat().st_size


def test_a_matrix_stored_as_int8_rows_is_within_half_a_step_of_each_row(tmp_path: Path) -> None:
    source, target = nn.Linear(64, 8), nn.Linear(64, 8)
    with torch.no_grad():
        source.weight.mul_(torch.logspace(-6, 3, 8)[:, None])
        source.weight[3] = 0
    save_module(source, tmp_path / "rows.safetensors", torch.float16, int8_rows=["weight"])
    assert load_tensors(tmp_path / "rows.safetensors")[0]["weight"].dtype == torch.int8
    load_module(target, tmp_path / "rows.safetensors")
    half_a_step = source.weight.abs().amax(1, keepdim=True) / 254
    assert ((target.weight - source.weight).abs() <= half_a_step * 1.001).all()
    assert not target.weight[3].any() and torch.equal(target.bias, source.bias.half().float())


def test_scales_that_do_not_match_their_rows_are_named(tmp_path: Path) -> None:
    rows = {"weight": torch.zeros(2, 3, dtype=torch.int8), "bias": torch.zeros(2)}
    wrong = [{"weight.row_scale": scale} for scale in (torch.ones(3), torch.ones(2, 3), torch.tensor(1.0))]
    wrong += [{"weight.row_scale": torch.ones(2, dtype=dtype)} for dtype in (torch.bool, torch.int64)]
    wrong += [{"weight": torch.zeros(2, 3, dtype=dtype)} for dtype in (torch.float32, torch.bool, torch.uint8)]
    for change in wrong:
        save_tensors(tmp_path / "rows.safetensors", {**rows, "weight.row_scale": torch.ones(2), **change})
        with pytest.raises(BadInput, match="scales of weight"):
            load_module(nn.Linear(3, 2), tmp_path / "rows.safetensors")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    with pytest.raises(BadInput, match=r"No weights at .*none\.safetensors\.$"):
        load_tensors(path)
    path.mkdir()
    with pytest.raises(BadInput, match=r"No weights at .* \(a folder lies there\)\.$"):
        load_tensors(path)
    path.rmdir()
    os.mkfifo(path)  # nobody writes to it: to open it would wait for ever
    with pytest.raises(BadInput, match=r"No weights at .* \(no ordinary file lies there\)\.$"):
        load_tensors(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickled", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(BadInput, match="no readable safetensors"):
        load_tensors(tmp_path / "bad.safetensors")


def test_a_header_of_countless_empty_tensors_is_refused_before_they_are_made(tmp_path: Path) -> None:
    header = json.dumps(
        {f"x{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(70_000)}
    )
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(BadInput, match="holds 70000 tensors, 65536 are the most"):
        load_tensors(tmp_path / "w.safetensors")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    save_tensors(path, {"a": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInput, match="no readable safetensors"):
        load_tensors(path)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"weight": torch.zeros(2, 3)}, "lacks bias"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "gate": torch.zeros(1)}, "unknown gate"),
        ({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, r"weight has shape \(3, 2\) instead of \(2, 3\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, tensors: dict[str, torch.Tensor], said: str) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(path, tensors)
    with pytest.raises(BadInput, match=said):
        load_module(nn.Linear(3, 2), path)


def test_a_failed_write_leaves_the_older_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(path, {"a": torch.ones(3)})
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError):
        save_tensors(path, {"a": shared, "b": shared})
    assert torch.equal(load_tensors(path)[0]["a"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_file_that_the_disk_cannot_hold_is_one_sentence_and_leaves_the_old_one(tmp_path: Path) -> None:
    path, limits = tmp_path / "w.safetensors", resource.getrlimit(resource.RLIMIT_FSIZE)
    save_tensors(path, {"a": torch.ones(3)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(BadInput, match="w.safetensors could not be written"):
            save_tensors(path, {"a": torch.ones(1 << 16)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.equal(load_tensors(path)[0]["a"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
