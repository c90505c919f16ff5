import json
from pathlib import Path
from typing import Any

import pytest

from lira_runtime import manifest as m
from lira_runtime.errors import DamagedBundle
from lira_runtime.interface import COMPONENTS, IMAGE_ENCODER, TensorSpec, interface

SCHEMA = Path(__file__).parents[2] / "docs" / "manifest.schema.json"


def _example(names: tuple[str, ...] = COMPONENTS) -> dict[str, Any]:
    tensors_of = interface((1, 4, 8, 8), 2, 16)

    def tensors(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
        return [{"name": s.name, "shape": list(s.shape), "dtype": s.dtype} for s in specs]

    def component(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "files": [{"path": f"{name}.onnx", "bytes": 3, "sha256": "ab" * 32}],
            "inputs": tensors(tensors_of[name][0]),
            "outputs": tensors(tensors_of[name][1]),
            "recipe": "int8",
            "parity": {"fp32_max_abs": 1e-5, "quantized_psnr_db": 40.0, "threshold_db": 35.0, "passed": True},
            "weight_bytes": {"int8": 10},
        }

    return {
        "format_version": 1,
        "target": "onnx",
        "preset": "nano",
        "latent": {"name": "f8c4", "channels": 4, "scale": 2, "patch_size": 2},
        "resolution": 16,
        "sampler": {"method": "dpm", "steps": 20, "shift": 3.0, "guidance": 4.0},
        "tokenizer": {"path": "tokenizer.json", "bytes": 3, "sha256": "cd" * 32},
        "components": [component(name) for name in names],
        "empty_prompt": {
            "path": "empty_prompt.f32",
            "bytes": 77 * 16 * 4,
            "sha256": "ef" * 32,
            "shape": [1, 77, 16],
            "dtype": "float32",
        },
        "tools": {"torch": "2.13.0"},
        "source": {"digest": "00" * 32, "weights": "demo"},
    }


def _decode(example: dict[str, Any]) -> m.Manifest:
    return m.decode(json.dumps(example).encode())


def test_a_good_manifest_survives_saving_and_loading(tmp_path: Path) -> None:
    manifest = _decode(_example())
    m.save(manifest, tmp_path)
    assert m.load(tmp_path) == manifest
    assert manifest.latent_shape == (1, 4, 8, 8)
    assert [f.path for f in manifest.files()][0] == "tokenizer.json"


@pytest.mark.parametrize(
    "path", ["../a", "/etc/passwd", "a/../../b", "a\\b", "C:/a", "a//b", "./a", "a/", ".", "..", "a\0b"]
)
def test_a_path_that_could_leave_the_bundle_is_refused(path: str) -> None:
    example = _example()
    example["components"][1]["files"][0]["path"] = path
    with pytest.raises(DamagedBundle, match="unsafe path"):
        _decode(example)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["format_version"], "1"),
        (["target"], "exe"),
        (["resolution"], 0),
        (["resolution"], 15),
        (["surprise"], 1),
        (["components"], []),
        (["components", 0, "files"], []),
        (["components", 0, "name"], "denoiser"),
        (["components", 0, "name"], "upscaler"),
        (["components", 1, "inputs", 0, "shape"], [1, 4, 8, 9]),
        (["components", 1, "inputs", 0, "name"], "sample"),
        (["components", 1, "inputs", 2, "shape"], [1, 77, 17]),
        (["components", 2, "outputs", 0, "dtype"], "float16"),
        (["components", 0, "files", 0, "sha256"], "AB" * 32),
        (["components", 0, "files", 0, "bytes"], -1),
        (["components", 0, "files", 0, "path"], "tokenizer.json"),
        (["components", 0, "files", 0, "path"], "manifest.json"),
        (["empty_prompt"], None),
        (["empty_prompt", "shape"], [1, 77, 17]),
        (["empty_prompt", "shape"], [77, 16]),
        (["empty_prompt", "bytes"], 77 * 16 * 2),
        (["empty_prompt", "dtype"], "float64"),
        (["empty_prompt", "path"], "../empty_prompt.f32"),
        (["empty_prompt", "path"], "tokenizer.json"),
        (["sampler", "steps"], 0),
        (["sampler", "guidance"], -1.0),
        (["sampler", "method"], "ddim"),
        (["source", "weights"], "stolen"),
    ],
)
def test_each_wrong_value_is_refused(keys: list[Any], value: Any) -> None:
    example: Any = _example()
    place = example
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(DamagedBundle):
        _decode(example)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format_version": NaN}', b"[" * 100_000])
def test_what_is_not_a_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedBundle):
        m.decode(data)


def test_a_newer_format_is_named_even_with_unknown_fields() -> None:
    with pytest.raises(DamagedBundle, match="format version 3"):
        _decode({"format_version": 3, "something": "new"})


def test_two_of_three_components_must_say_partial() -> None:
    example = _example()
    del example["components"][2]
    with pytest.raises(DamagedBundle, match="lacks the component decoder"):
        _decode(example)
    assert _decode({**example, "partial": True}).partial


def test_an_image_encoder_is_a_fourth_component_of_format_version_2() -> None:
    example = _example((*COMPONENTS, IMAGE_ENCODER))
    with pytest.raises(DamagedBundle, match="format version 1"):
        _decode(example)
    manifest = _decode({**example, "format_version": 2})
    encoder = manifest.components[3]
    assert not manifest.partial and encoder.name == "image_encoder"
    assert [(t.name, t.shape, t.dtype) for t in encoder.inputs] == [("image", (1, 3, 16, 16), "float32")]
    assert [(t.name, t.shape, t.dtype) for t in encoder.outputs] == [("latent", (1, 4, 8, 8), "float32")]
    assert (m.format_version_for(manifest.components), m.format_version_for(manifest.components[:3])) == (2, 1)


def test_an_image_encoder_does_not_stand_in_for_another_component() -> None:
    example = {**_example((*COMPONENTS[:2], IMAGE_ENCODER)), "format_version": 2}
    with pytest.raises(DamagedBundle, match="lacks the component decoder"):
        _decode(example)


def test_an_image_encoder_of_another_size_is_refused() -> None:
    example = {**_example((*COMPONENTS, IMAGE_ENCODER)), "format_version": 2}
    example["components"][3]["inputs"][0]["shape"] = [1, 3, 16, 32]
    with pytest.raises(DamagedBundle, match="image_encoder"):
        _decode(example)


def test_saving_refuses_what_it_could_not_read_back(tmp_path: Path) -> None:
    good = _decode(_example())
    bad = m.Manifest(**{f: getattr(good, f) for f in good.__struct_fields__} | {"preset": ""})
    with pytest.raises(DamagedBundle):
        m.save(bad, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_committed_schema_is_the_generated_one() -> None:
    assert SCHEMA.read_bytes() == m.json_schema()
