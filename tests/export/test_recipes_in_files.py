"""Recipes that no other test exports: the mite's denoiser by each of them passes parity and holds what it says."""

from pathlib import Path

import pytest

from lira.sources import Models
from lira_export.components import build_components
from lira_export.gates import check_files, measure_parity
from lira_export.parity import reference_samples
from lira_export.recipes import get_recipe
from lira_export.target import Job
from lira_export.targets import make_target
from lira_runtime.manifest import TargetName

IOS = 18
SENSITIVE = ("ffn.fc1", "scan.maps", "scan.rates")
"""Of the mite's one block, by `mixed`."""


@pytest.mark.parametrize(
    ("target", "name", "stored"),
    [
        ("coreml", "int4", {"int4"}),
        pytest.param("coreml", "int6", {"uint6"}, marks=pytest.mark.slow),
        pytest.param("coreml", "mixed", {"uint6", "int8"}, marks=pytest.mark.slow),
        ("coreml", "w8a8", {"int8"}),
        pytest.param("tflite", "int4", {"int4"}, marks=pytest.mark.slow),
        ("onnx", "int8-dynamic", {"int8"}),
    ],
)
def test_a_denoiser_passes_parity_and_holds_what_its_recipe_says(
    target: TargetName, name: str, stored: set[str], mite_models: Models, tmp_path: Path
) -> None:
    made, recipe, side = make_target(target, IOS), get_recipe(name, target), mite_models.resolution
    components = {each.name: each for each in build_components(mite_models, side, segment_sums=made.segment_sums)}
    samples = {side: reference_samples(components)["denoiser"]}
    job = Job("denoiser", {side: components["denoiser"]}, samples, recipe, mite_models, tmp_path, lambda line: None)
    written = made.write(job)
    (found,) = check_files(made, job, written)
    parity = measure_parity(made, job, written)
    assert parity.passed and parity.psnr_db < 70, "closer to float32 than its bits can be"
    integers = {dtype for dtype in found.products if not dtype.startswith("float")}
    assert integers == stored
    if name == "mixed":
        assert found.products["int8"] == len(SENSITIVE)
    if name == "int8-dynamic":
        assert not {"QLinearMatMul", "QLinearConv"} & set(found.ops)
    if name == "w8a8":
        assert found.ops["quantize"] == found.ops["dequantize"] > 0
