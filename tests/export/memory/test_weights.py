"""Bytes of weights by dtype, against those counted in files that were exported."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lira.sources import Models
from lira_export.components import build_components
from lira_export.memory.network import Network
from lira_export.memory.weights import Weight, weights_of
from lira_export.onnx.target import OnnxTarget
from lira_export.recipes import RECIPES, Recipe
from lira_export.target import Job
from lira_export.tflite.target import TfliteTarget
from lira_runtime.bundle import Bundle
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import TargetName

SIDE = 64
SMALL_CONSTANTS = 0.03
"""Share of a component's bytes that may be scales and constants of the arithmetic, which are no weights."""


@pytest.fixture(scope="module")
def networks(small_models: Models) -> dict[str, Network]:
    return {component.name: Network.of(component, SIDE) for component in build_components(small_models, SIDE)}


def stored(network: Network, recipe: Recipe, target: TargetName) -> Counter[str]:
    found = Counter[str]()
    for weight in weights_of(network, recipe, target):
        found[weight.stored] += weight.stored_bytes
    return found


@pytest.mark.parametrize("name", COMPONENTS)
def test_int8_onnx_files_hold_the_bytes_that_are_counted(
    name: str, networks: dict[str, Network], bundle_folder: Path
) -> None:
    counted = Counter(Bundle.open(bundle_folder).component(name).contents.weight_bytes)
    found = stored(networks[name], RECIPES["int8"], "onnx")
    allowed = SMALL_CONSTANTS * counted.total()
    for dtype in ("int8", "float16", "float32"):
        assert found[dtype] == pytest.approx(counted[dtype], abs=allowed), dtype
    assert found["int8"] > 0.4 * counted.total()


@pytest.mark.parametrize(
    ("target", "recipe"),
    [
        (OnnxTarget(), "fp32"),
        (OnnxTarget(), "fp16"),
        (OnnxTarget(), "int8"),
        (TfliteTarget(), "fp16"),
        (TfliteTarget(), "int8"),
    ],
    ids=lambda each: getattr(each, "name", each),
)
def test_a_decoders_file_holds_the_bytes_that_are_counted(
    target: OnnxTarget | TfliteTarget,
    recipe: str,
    networks: dict[str, Network],
    decoder_job: Callable[[Recipe], Job],
) -> None:
    job = decoder_job(RECIPES[recipe])
    counted = target.inventory(target.write(job).graphs[0], job.folder).weight_bytes
    found = stored(networks["decoder"], RECIPES[recipe], target.name)
    for dtype in ("int8", "float16", "float32"):
        assert found[dtype] == pytest.approx(counted[dtype], abs=SMALL_CONSTANTS * counted.total()), dtype


def test_int8_is_held_as_it_is_and_what_engines_unpack_is_held_in_float32(networks: dict[str, Network]) -> None:
    denoiser, decoder = networks["denoiser"], networks["decoder"]
    parameters = sum(tensor.numel() for tensor in denoiser.component.traceable.parameters())
    quantized = weights_of(denoiser, RECIPES["int8"], "onnx")
    assert {each.held_itemsize for each in quantized if each.stored == "int8"} == {1}
    assert {each.held_itemsize for each in quantized if each.stored != "int8"} == {4}
    for recipe in ("fp16", "fp32"):
        held = sum(each.held_bytes for each in weights_of(denoiser, RECIPES[recipe], "onnx"))
        assert held == pytest.approx(4 * parameters, rel=0.02)
    assert {each.held_itemsize for each in weights_of(decoder, RECIPES["int8"], "onnx")} == {4}


def test_four_bits_are_half_a_byte_and_convolutions_keep_eight(networks: dict[str, Network]) -> None:
    found = weights_of(networks["denoiser"], RECIPES["int4"], "tflite")
    assert {each.held_itemsize for each in found if each.stored == "int4"} == {0.5}
    assert {each.stored for each in weights_of(networks["decoder"], RECIPES["int4"], "tflite")} == {"int8", "float32"}


def test_a_prompt_touches_few_pages_of_a_mapped_table_and_all_of_one_that_is_unpacked() -> None:
    rows = Weight("table", 10**8, "int8", 1, is_table=True)
    assert rows.touched_bytes(unpacks=True) == 77 * (64 << 10)
    assert Weight("table", 10**5, "int8", 1, is_table=True).touched_bytes(unpacks=True) == 10**5
    half = Weight("table", 10**8, "float16", 4, is_table=True)
    assert half.touched_bytes(unpacks=True) == 4 * 10**8
    assert half.touched_bytes(unpacks=False) == 77 * (64 << 10)
    assert Weight("layer", 10**8, "int8", 1).touched_bytes(unpacks=False) == 10**8
