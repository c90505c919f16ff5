import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lira_runtime import manifest as m
from lira_runtime.errors import DamagedBundle
from lira_runtime.interface import COMPONENTS, IMAGE_ENCODER, TensorSpec, interface

SCHEMA = Path(__file__).parents[2] / "docs" / "manifest.schema.json"


def _example(names: tuple[str, ...] = COMPONENTS, resolutions: tuple[int, ...] = (16,)) -> dict[str, Any]:
    def tensors(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
        return [{"name": s.name, "shape": list(s.shape), "dtype": s.dtype} for s in specs]

    def path(name: str, side: int | None) -> str:
        return f"{name}.onnx" if side in (None, resolutions[0]) else f"{name}-{side}.onnx"

    def graph(name: str, side: int | None) -> dict[str, Any]:
        latent = (side or resolutions[0]) // 2
        inputs, outputs = map(tensors, interface((1, 4, latent, latent), 2, 16)[name])
        return {"path": path(name, side), "entry": "main", "resolution": side, "inputs": inputs, "outputs": outputs}

    def component(name: str) -> dict[str, Any]:
        sides = (None,) if name == "text_encoder" else resolutions
        return {
            "name": name,
            "graphs": [graph(name, side) for side in sides],
            "files": [{"path": path(name, side), "bytes": 3, "sha256": "ab" * 32} for side in sides],
            "recipe": "int8",
            "parity": {
                "float32_max_abs": 1e-5,
                "psnr_db": 40.0,
                "cosine": 0.9999,
                "threshold_db": 35.0,
                "passed": True,
            },
            "contents": {
                "ops": {"MatMulInteger": 2, "Add": 1},
                "products": {"int8": 2},
                "weight_bytes": {"int8": 10},
                "loaded_bytes": 20,
            },
        }

    return {
        "format_version": 5,
        "target": "onnx",
        "preset": "nano",
        "latent": {"name": "f8c4", "channels": 4, "scale": 2, "patch_size": 2},
        "resolutions": list(resolutions),
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
        "trajectory": {
            "prompt": "a cat",
            "seed": 0,
            "steps": 2,
            "guidance": 4.0,
            "drift_db": [50.0, 45.5],
            "image_psnr_db": 44.0,
            "threshold_db": 30.0,
            "passed": True,
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
    assert manifest.latent_shape(16) == (1, 4, 8, 8) and manifest.latent_shape(32) == (1, 4, 16, 16)
    assert manifest.trajectory is not None and manifest.trajectory.drift_db == (50.0, 45.5)
    assert [f.path for f in manifest.files()][0] == "tokenizer.json"


def test_a_manifest_that_is_read_and_saved_again_has_the_same_bytes(tmp_path: Path) -> None:
    """Recipes and presets hold whole numbers where a manifest has any: they are written as they would be read."""
    manifest = _decode(_example())
    parity = msgspec.structs.replace(manifest.components[0].parity, threshold_db=35)
    component = msgspec.structs.replace(manifest.components[0], parity=parity)
    made = msgspec.structs.replace(manifest, components=(component, *manifest.components[1:]))
    first = m.save(made, tmp_path).read_bytes()
    assert m.save(m.load(tmp_path), tmp_path).read_bytes() == first


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
        (["resolutions"], []),
        (["resolutions"], [0]),
        (["resolutions"], [15]),
        (["resolutions"], [16, 16]),
        (["resolutions"], [16, 32]),
        (["resolutions"], [32]),
        (["resolution"], 16),
        (["requires"], ""),
        (["surprise"], 1),
        (["components"], []),
        (["components", 0, "files"], []),
        (["components", 0, "graphs"], []),
        (["components", 0, "graphs", 0, "resolution"], 16),
        (["components", 1, "graphs", 0, "resolution"], None),
        (["components", 1, "graphs", 0, "resolution"], 32),
        (["components", 1, "graphs", 0, "entry"], ""),
        (["components", 1, "graphs", 0, "path"], "decoder.onnx"),
        (["components", 1, "graphs", 0, "path"], "denoiser"),
        (["components", 1, "graphs", 0, "path"], "../denoiser.onnx"),
        (["components", 1, "contents", "weight_bytes", "int8"], -1),
        (["components", 1, "contents", "loaded_bytes"], "much"),
        (["components", 1, "parity", "float32_max_abs"], -1e-5),
        (["trajectory", "steps"], 0),
        (["trajectory", "seed"], -1),
        (["components", 0, "name"], "denoiser"),
        (["components", 0, "name"], "upscaler"),
        (["components", 1, "graphs", 0, "inputs", 0, "shape"], [1, 4, 8, 9]),
        (["components", 1, "graphs", 0, "inputs", 0, "name"], "sample"),
        (["components", 1, "graphs", 0, "inputs", 2, "shape"], [1, 77, 17]),
        (["components", 2, "graphs", 0, "outputs", 0, "dtype"], "float16"),
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
        (["weights"], "unpacked"),
        (["components", 1, "graphs", 0, "memory"], {"measured_bytes": -1}),
        (["components", 1, "graphs", 0, "memory"], {"peak": 1}),
        (["components", 1, "memory"], {"measured_bytes": 1}),
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


@pytest.mark.parametrize(("version", "hint"), [(1, "export the bundle again"), (4, "again"), (6, "a newer LiRA")])
def test_another_format_is_named_even_with_unknown_fields_and_what_to_do_is_said(version: int, hint: str) -> None:
    with pytest.raises(DamagedBundle, match=f"format version {version}.*{hint}"):
        _decode({"format_version": version, "something": "else"})


@pytest.mark.parametrize("change", [{}, {"shape": [255]}, {"shape": [1, 256]}, {"bytes": 1020}, {"path": "../g.f32"}])
def test_a_golden_output_is_a_file_of_as_many_numbers_as_its_rule_says(change: dict[str, Any]) -> None:
    example = _example()
    golden = {"path": "golden.f32", "bytes": 1024, "sha256": "12" * 32, "shape": [256], "dtype": "float32", **change}
    example["components"][1]["graphs"][0]["golden"] = golden
    if change:
        with pytest.raises(DamagedBundle, match=r"golden output of denoiser|unsafe path"):
            _decode(example)
    else:
        assert "golden.f32" in [entry.path for entry in _decode(example).files()]


def test_a_graph_for_every_resolution_in_their_order() -> None:
    example = _example(resolutions=(16, 32))
    manifest = _decode(example)
    assert [graph.resolution for graph in manifest.components[0].graphs] == [None]
    assert [(g.resolution, g.inputs[0].shape) for g in manifest.components[1].graphs] == [
        (16, (1, 4, 8, 8)),
        (32, (1, 4, 16, 16)),
    ]
    example["components"][1]["graphs"].reverse()
    with pytest.raises(DamagedBundle, match="graphs of denoiser are not those of the bundle's resolutions"):
        _decode(example)
    del example["components"][1]["graphs"][0]
    with pytest.raises(DamagedBundle, match="graphs of denoiser"):
        _decode(example)


def test_each_graph_has_the_tensors_of_its_own_resolution() -> None:
    example = _example(resolutions=(16, 32))
    graphs = example["components"][2]["graphs"]
    graphs[1]["outputs"] = graphs[0]["outputs"]
    with pytest.raises(DamagedBundle, match="tensors of decoder"):
        _decode(example)


def test_a_graph_opens_a_folder_that_its_files_lie_in_and_no_other() -> None:
    example = _example()
    denoiser = example["components"][1]
    denoiser["graphs"][0]["path"] = "denoiser.mlpackage"
    denoiser["files"][0]["path"] = "denoiser.mlpackage/Data/model.mlmodel"
    assert _decode(example).components[1].graphs[0].path == "denoiser.mlpackage"
    denoiser["files"][0]["path"] = "denoiser.mlpackages/model.mlmodel"
    with pytest.raises(DamagedBundle, match="opens 'denoiser.mlpackage', which is none of its files"):
        _decode(example)


def test_memory_is_each_graphs_own_and_unknown_where_nothing_is_said() -> None:
    example = _example(resolutions=(16, 32))
    example["components"][1]["graphs"][1]["memory"] = {"predicted_bytes": 9, "weights_bytes": 4, "measured_bytes": None}
    small, large = _decode(example).components[1].graphs
    assert small.memory is None and large.memory is not None
    assert (large.memory.predicted_bytes, large.memory.weights_bytes, large.memory.measured_bytes) == (9, 4, None)


def test_two_of_three_components_must_say_partial() -> None:
    example = _example()
    del example["components"][2]
    with pytest.raises(DamagedBundle, match="lacks the component decoder"):
        _decode(example)
    assert _decode({**example, "partial": True}).partial


def test_an_image_encoder_is_an_optional_fourth_component() -> None:
    manifest = _decode(_example((*COMPONENTS, IMAGE_ENCODER)))
    encoder = manifest.components[3]
    assert not manifest.partial and encoder.name == "image_encoder"
    (graph,) = encoder.graphs
    assert [(t.name, t.shape, t.dtype) for t in graph.inputs] == [("image", (1, 3, 16, 16), "float32")]
    assert [(t.name, t.shape, t.dtype) for t in graph.outputs] == [("latent", (1, 4, 8, 8), "float32")]


def test_an_image_encoder_does_not_stand_in_for_another_component() -> None:
    with pytest.raises(DamagedBundle, match="lacks the component decoder"):
        _decode(_example((*COMPONENTS[:2], IMAGE_ENCODER)))


def test_an_image_encoder_of_another_size_is_refused() -> None:
    example = _example((*COMPONENTS, IMAGE_ENCODER))
    example["components"][3]["graphs"][0]["inputs"][0]["shape"] = [1, 3, 16, 32]
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
