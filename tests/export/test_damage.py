"""In every format: one weight changed by hand in the file fails the gate; a file that is not quantized is caught."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lira.sources import Models
from lira_export.components import build_components
from lira_export.gates import check_quantized, measure_parity
from lira_export.parity import reference_samples
from lira_export.recipes import INT8, get_recipe
from lira_export.target import Job, Target, Written
from lira_export.targets import TARGETS, make_target
from lira_runtime.errors import ParityLost

RESOLUTION = 64


def decoder_job(models: Models, target: Target, folder: Path, recipe: str) -> Job:
    every = build_components(models, RESOLUTION, segment_sums=target.segment_sums)
    components = {component.name: component for component in every}
    folder.mkdir()
    return Job(
        "decoder",
        {RESOLUTION: components["decoder"]},
        {RESOLUTION: reference_samples(components)["decoder"]},
        get_recipe(recipe, target.name),
        models,
        folder,
        lambda line: None,
    )


def add_to_one_weight(files: tuple[Path, ...], row: NDArray[np.float32], amount: float) -> None:
    """Find the row's bytes, as float32 or float16, in one of the files, and change its first number there."""
    for path in files:
        data = path.read_bytes()
        for dtype in (np.float32, np.float16):
            stored = row.astype(dtype)
            if data.count(stored.tobytes()) == 1:
                changed = stored.copy()
                changed[0] += dtype(amount)
                path.write_bytes(data.replace(stored.tobytes(), changed.tobytes()))
                return
    raise AssertionError("the row is in none of the files")


@pytest.mark.parametrize("name", TARGETS)
def test_one_weight_changed_in_the_file_fails_the_gate(name: str, small_models: Models, tmp_path: Path) -> None:
    target = make_target(name)  # type: ignore[arg-type]
    job = decoder_job(small_models, target, tmp_path / "whole", "int8")
    written = target.write(job)
    assert measure_parity(target, job, written).passed
    spoiled = Job(**{**vars(job), "folder": tmp_path / "spoiled"})
    shutil.copytree(job.folder, spoiled.folder)
    files = tuple(spoiled.folder / path.relative_to(job.folder) for path in written.files)
    # The decoder's last convolution stays float in int8; 48 inputs make one of its rows.
    add_to_one_weight(files, small_models.decoder.get_parameter("head.1.weight")[0].detach().numpy().ravel(), 4.0)
    assert not measure_parity(target, spoiled, Written(written.graphs, files)).passed


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_a_file_that_is_not_quantized_is_caught(name: str, recipe: str, small_models: Models, tmp_path: Path) -> None:
    target = make_target(name)  # type: ignore[arg-type]
    job = decoder_job(small_models, target, tmp_path / "float", recipe)
    graph = target.write(job).graphs[0]
    with pytest.raises(ParityLost, match="is not quantized"):
        check_quantized("decoder", INT8, target.inventory(graph, job.folder))
