"""What the lowering guard prints when a graph's ops are not the baseline's."""

from lowering_baseline import moved

BEFORE = {"onnx": {"decoder": {"Conv": 20, "Relu": 9}}, "tflite": {"decoder": {"PAD": 2}}}


def test_equal_tables_have_not_moved() -> None:
    assert (
        moved(
            BEFORE, {target: {part: dict(kinds) for part, kinds in parts.items()} for target, parts in BEFORE.items()}
        )
        == []
    )


def test_a_count_that_grew_one_that_went_and_one_that_came_are_a_line_each() -> None:
    after = {"onnx": {"decoder": {"Conv": 21, "Relu": 9, "Pad": 1}}, "coreml": {"denoiser": {"linear": 3}}}
    assert moved(BEFORE, after) == [
        "coreml denoiser linear: 0 -> 3",
        "onnx decoder Conv: 20 -> 21",
        "onnx decoder Pad: 0 -> 1",
        "tflite decoder PAD: 2 -> 0",
    ]
