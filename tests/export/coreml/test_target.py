"""A component's package from start to end: functions that share their weights, descriptions, what is counted in it."""

import tomllib
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lira.sources import Models
from lira_export.components import Component
from lira_export.coreml.interpret import Program, read_function
from lira_export.coreml.library import MLModel, ct
from lira_export.coreml.target import CoremlTarget
from lira_export.parity import Sample, psnr_db
from lira_export.recipes import FLOAT16, FLOAT32, INT6, INT8, W8A8, Recipe
from lira_export.target import Job, Written
from lira_runtime.errors import BadInput, ParityLost
from lira_runtime.files import sha256_of
from lira_runtime.interface import interface
from lira_runtime.manifest import Graph

WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
WIDTH = 64


class Toy(nn.Module):
    """A decoder: latent (1, 4, h, w) -> image (1, 3, 8 h, 8 w). By the recipes' words, `stem` and `head` stay float.

    gain: of what lies between the products of `body`; it cancels.
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(4, WIDTH, 1, bias=False)
        self.body = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 1)
        )
        self.head = nn.Conv2d(WIDTH, 3 * 8 * 8, 1)
        for before, after in ((self.stem, self.head), (self.body[0], self.body[2])):
            before.weight.data *= gain
            after.weight.data /= gain
        self.body[2].bias.data *= gain

    def forward(self, latent: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.head(torch.relu(self.body(torch.relu(self.stem(latent))))), 8)


def job(models: Models, recipe: Recipe, folder: Path, *resolutions: int, gain: float = 1.0) -> Job:
    """The toy's; `models` draw what it is scanned with."""
    variants, samples, generator = {}, {}, torch.Generator().manual_seed(0)
    toy = Toy(gain).eval().requires_grad_(False)
    traceable = deepcopy(toy)
    for side in resolutions:
        tensors = interface((1, 4, side // 8, side // 8), 8, models.text_encoder.width)["decoder"]
        variants[side] = Component("decoder", toy, traceable, *tensors)
        latent = torch.randn(tensors[0][0].shape, generator=generator)
        samples[side] = [Sample({"latent": latent.numpy()}, toy(latent).numpy())]
    folder.mkdir(exist_ok=True)
    return Job("decoder", variants, samples, recipe, models, folder, lambda line: None)


def drawn(work: Job, graph: Graph) -> float:
    """PSNR in dB of the graph's picture."""
    (sample,) = work.samples[graph.resolution]
    found = Program.load(work.folder / graph.path, graph.entry).run(sample.inputs)["image"]
    return psnr_db(found, sample.reference)


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
        assert drawn(work, graph) > 35


def test_xcode_shows_who_made_it_what_it_takes_and_where_it_comes_from(
    one: tuple[Job, Written], two: tuple[Job, Written], small_models: Models
) -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    shown = MLModel(str(one[0].folder / "decoder.mlpackage"), skip_model_load=True)
    assert (shown.author, shown.license, shown.version) == ("LiRA", "Apache-2.0", project["version"])
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
    assert small.weight_elements["int8"] == WIDTH * WIDTH * (3 * 3 + 1)
    assert small.products == Counter(int8=2, float16=2) and small.ops["conv"] == 4
    assert small.highest_rank == large.highest_rank == 4


def test_w8a8_quantizes_the_inputs_of_the_quantized_products(small_models: Models, tmp_path: Path) -> None:
    work, target = job(small_models, W8A8, tmp_path, 64), CoremlTarget(17)
    (graph,) = target.write(work).graphs
    found = target.inventory(graph, tmp_path)
    assert found.ops["quantize"] == found.ops["dequantize"] == found.products["int8"] == 2
    assert 35 < drawn(work, graph) < 60


@pytest.mark.parametrize(("ios", "palettes", "version"), [(17, 1, 8), (18, WIDTH // 16, 9)])
def test_the_ios_decides_how_many_palettes_there_are(
    ios: int, palettes: int, version: int, small_models: Models, tmp_path: Path
) -> None:
    target = CoremlTarget(ios)
    (graph,) = target.write(job(small_models, INT6, tmp_path, 64)).graphs
    assert target.requires == f"iOS{ios}"
    assert ct.utils.load_spec(str(tmp_path / graph.path)).specificationVersion == version
    ops = read_function(tmp_path / graph.path, graph.entry).operations
    tables = [op.inputs["lut"].val for op in ops if op.op_type == "constexpr_lut_to_dense"]
    assert [table.size for table in tables] == [64 * palettes, 64]  # 16 channels of the 1 x 1 have too few weights


def test_what_float16_cannot_hold_is_recorded_and_stays_float32(small_models: Models, tmp_path: Path) -> None:
    work = job(small_models, FLOAT16, tmp_path, 64, gain=1000.0)
    written = CoremlTarget(17).write(work)
    assert {"conv2d_1", "relu_1"} <= set(written.kept_float32)
    assert drawn(work, written.graphs[0]) > 50
    inside = Program.load(tmp_path / "decoder.mlpackage")
    assert inside.op_counts()["cast"] > 2, "nothing goes to float32 and back"


def test_real_drawings_are_scanned_too(
    one: tuple[Job, Written], small_models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def brighter(work: Job, resolution: int) -> Iterator[dict[str, NDArray[Any]]]:
        assert (work.name, resolution) == ("decoder", 64)
        yield {"latent": 1e6 * work.samples[64][0].inputs["latent"]}

    assert not one[1].kept_float32
    monkeypatch.setattr("lira_export.coreml.target.real_inputs", brighter)
    assert CoremlTarget(17).write(job(small_models, FLOAT16, tmp_path, 64)).kept_float32


def test_the_same_weights_give_the_same_weights_file(
    one: tuple[Job, Written], small_models: Models, tmp_path: Path
) -> None:
    CoremlTarget(17).write(job(small_models, FLOAT16, tmp_path, 64))
    files = [folder / "decoder.mlpackage" / WEIGHTS for folder in (one[0].folder, tmp_path)]
    assert sha256_of(files[0]) == sha256_of(files[1])


def test_a_graph_that_is_not_the_eager_models_is_refused(small_models: Models, tmp_path: Path) -> None:
    work = job(small_models, FLOAT32, tmp_path, 64)
    with torch.no_grad():
        work.variants[64].traceable.get_parameter("head.bias").add_(0.01)
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
