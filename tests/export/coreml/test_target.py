"""A component's package from start to end: functions that share their weights, descriptions, what is counted in it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lira.sources import Models
from lira_export.components import Component, build_components
from lira_export.coreml.interpret import Program
from lira_export.coreml.library import MLModel, ct
from lira_export.coreml.target import CoremlTarget
from lira_export.parity import Sample, psnr_db
from lira_export.recipes import FLOAT16, FLOAT32, INT8, Recipe
from lira_export.target import Job, Written
from lira_runtime.errors import BadInput, ParityLost
from lira_runtime.files import sha256_of

WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


def decoder(models: Models, resolution: int) -> Component:
    return next(each for each in build_components(models, resolution, ("decoder",)) if each.name == "decoder")


def job(models: Models, recipe: Recipe, folder: Path, *resolutions: int) -> Job:
    variants, samples, generator = {}, {}, torch.Generator().manual_seed(0)
    for resolution in resolutions:
        variants[resolution] = decoder(models, resolution)
        latent = torch.randn(variants[resolution].inputs[0].shape, generator=generator)
        with torch.inference_mode():
            samples[resolution] = [Sample({"latent": latent.numpy()}, variants[resolution].eager(latent).numpy())]
    folder.mkdir(exist_ok=True)
    return Job("decoder", variants, samples, recipe, models, folder, lambda line: None)


@pytest.fixture(scope="module")
def one(small_models: Models, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Written]:
    work = job(small_models, FLOAT16, tmp_path_factory.mktemp("one"), 64)
    return work, CoremlTarget(17).write(work)


@pytest.fixture(scope="module")
def two(small_models: Models, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Written]:
    work = job(small_models, INT8, tmp_path_factory.mktemp("two"), 64, 128)
    return work, CoremlTarget(18).write(work)


def test_one_resolution_is_one_function_main_and_all_files_are_named(one: tuple[Job, Written]) -> None:
    work, written = one
    assert [(graph.path, graph.entry, graph.resolution) for graph in written.graphs] == [
        ("decoder.mlpackage", "main", 64)
    ]
    assert set(written.files) == {path for path in work.folder.rglob("*") if path.is_file()}
    assert written.float32_max_abs is not None and written.float32_max_abs < 1e-4


def test_several_resolutions_are_functions_of_one_package_over_one_copy_of_the_weights(
    two: tuple[Job, Written], small_models: Models, tmp_path: Path
) -> None:
    work, written = two
    assert [(graph.path, graph.entry) for graph in written.graphs] == [
        ("decoder.mlpackage", "r64"),
        ("decoder.mlpackage", "r128"),
    ]
    assert {path.parts[len(work.folder.parts)] for path in work.folder.rglob("*")} == {"decoder.mlpackage"}
    CoremlTarget(18).write(job(small_models, INT8, tmp_path, 64))
    alone = (tmp_path / "decoder.mlpackage" / WEIGHTS).stat().st_size
    assert (work.folder / "decoder.mlpackage" / WEIGHTS).stat().st_size < 1.1 * alone
    for graph in written.graphs:
        sample = work.samples[graph.resolution][0]
        found = Program.load(work.folder / graph.path, graph.entry).run(sample.inputs)["image"]
        assert psnr_db(found, sample.reference) > 35


def test_xcode_shows_who_made_it_what_it_takes_and_where_it_comes_from(
    one: tuple[Job, Written], two: tuple[Job, Written], small_models: Models
) -> None:
    shown = MLModel(str(one[0].folder / "decoder.mlpackage"), skip_model_load=True)
    assert (shown.author, shown.license, shown.version) == ("LiRA", "Apache-2.0", "0.1.0")
    assert "latent to a picture" in shown.short_description
    assert shown.input_description["latent"].endswith("float32 1 x 4 x 8 x 8")
    assert shown.output_description["image"] == (
        "picture, RGB by rows from the top, sRGB in 0 to 1; float32 1 x 3 x 64 x 64"
    )
    known = dict(shown.user_defined_metadata)
    assert not any("date" in name for name in known)
    assert (known["preset"], known["latent"], known["recipe"]) == ("nano", "f8c4", "fp16")
    assert (known["resolution_px"], known["source_digest"]) == ("64", small_models.source.digest)
    spec = ct.utils.load_spec(str(two[0].folder / "decoder.mlpackage"))
    assert spec.description.metadata.author == "LiRA"
    assert spec.description.metadata.userDefined["resolution_px"] == "64, 128"
    shapes = {each.name: each.output[0].shortDescription.split("float32 ")[1] for each in spec.description.functions}
    assert shapes == {"r64": "1 x 3 x 64 x 64", "r128": "1 x 3 x 128 x 128"}


def test_the_inventory_is_of_the_function_asked_for(two: tuple[Job, Written]) -> None:
    work, written = two
    target = CoremlTarget(18)
    small, large = (target.inventory(graph, work.folder) for graph in written.graphs)
    assert small.weight_elements == large.weight_elements
    assert small.weight_elements["int8"] > 0 and small.products["int8"] > 0
    assert small.ops["conv"] == sum(small.products.values())
    assert small.highest_rank == large.highest_rank == 4


def test_the_same_weights_give_the_same_weights_file(
    one: tuple[Job, Written], small_models: Models, tmp_path: Path
) -> None:
    CoremlTarget(17).write(job(small_models, FLOAT16, tmp_path, 64))
    files = [folder / "decoder.mlpackage" / WEIGHTS for folder in (one[0].folder, tmp_path)]
    assert sha256_of(files[0]) == sha256_of(files[1])


def test_a_graph_that_is_not_the_eager_models_is_refused(small_models: Models, tmp_path: Path) -> None:
    work = job(small_models, FLOAT32, tmp_path, 64)
    with torch.no_grad():
        work.variants[64].traceable.get_parameter("head.1.bias").add_(0.01)
    with pytest.raises(ParityLost, match="float32 graph"):
        CoremlTarget(17).write(work)


def test_a_converters_failure_is_one_sentence_and_a_log(
    small_models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise NotImplementedError("no lowering")

    monkeypatch.setattr("lira_export.coreml.target.converted", fail)
    with pytest.raises(BadInput, match=r"decoder could not be converted .*\.log") as caught:
        CoremlTarget(17).write(job(small_models, FLOAT32, tmp_path, 64))
    Path(str(caught.value).rsplit(" ", 1)[1].rstrip(".")).unlink()


@pytest.mark.parametrize("ios", [15, 19])
def test_an_ios_that_is_not_written_for_is_refused(ios: int) -> None:
    with pytest.raises(BadInput, match="16, 17, 18"):
        CoremlTarget(ios)


def test_numbers_of_the_float32_package_are_eagers(small_models: Models, tmp_path: Path) -> None:
    work = job(small_models, FLOAT32, tmp_path, 64)
    CoremlTarget(16).write(work)
    sample = work.samples[64][0]
    found = Program.load(tmp_path / "decoder.mlpackage").run(sample.inputs)["image"]
    assert np.abs(found - sample.reference).max() < 1e-5
