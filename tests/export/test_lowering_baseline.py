"""How a baseline of ops by kind is compared: tables made by hand, and the counts of a bundle."""

from pathlib import Path

from lowering_baseline import counts, moved

from lira_runtime import manifest

BEFORE = {
    "onnx": {"decoder": {"Conv": 39, "Add": 7}, "denoiser": {"MatMul": 120}},
    "tflite": {"decoder": {"CONV_2D": 39}},
}


def test_nothing_has_moved_where_the_tables_are_equal() -> None:
    assert (
        moved(
            BEFORE, {target: {name: dict(kinds) for name, kinds in parts.items()} for target, parts in BEFORE.items()}
        )
        == []
    )


def test_more_fewer_gone_and_new_counts_are_a_line_each() -> None:
    after = {
        "onnx": {"decoder": {"Conv": 40, "Relu": 2}, "denoiser": {"MatMul": 119}, "image_encoder": {"Conv": 5}},
        "coreml": {"decoder": {"conv": 39}},
    }
    assert moved(BEFORE, after) == [
        "coreml decoder conv: 0 -> 39",
        "onnx decoder Add: 7 -> 0",
        "onnx decoder Conv: 39 -> 40",
        "onnx decoder Relu: 0 -> 2",
        "onnx denoiser MatMul: 120 -> 119",
        "onnx image_encoder Conv: 0 -> 5",
        "tflite decoder CONV_2D: 39 -> 0",
    ]


def test_counts_are_those_of_the_manifest_by_target_and_component(bundle_folder: Path) -> None:
    contents = {part.name: part.contents.ops for part in manifest.load(bundle_folder).components}
    assert counts([bundle_folder]) == {"onnx": contents} and contents["decoder"]["Conv"] > 0
