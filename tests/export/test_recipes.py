"""Recipes by name, and the targets that have them: what is refused says what to type instead."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lira_export.recipes import HOW, PER_COMPONENT, RECIPES, WHY_NOT, Recipe, get_recipe
from lira_export.targets import TARGETS
from lira_runtime import manifest
from lira_runtime.errors import BadInput
from lira_runtime.manifest import TargetName
from lira_runtime.trust.graphs import LEAST_PARITY_DB

NANO = ["--config", "nano", "--latent", "f8c4", "--text-encoder", "demo"]
DOCS = Path(__file__).parents[2] / "docs/export.md"
Run = Callable[..., tuple[int, str, str]]


def test_every_recipe_is_done_by_a_target_or_lacking_for_a_reason() -> None:
    pairs = {(target, name) for target in TARGETS for name in RECIPES}
    have = {(target, name) for target, recipes in HOW.items() for name in recipes}
    assert have | set(WHY_NOT) == pairs and not have & set(WHY_NOT)
    for target, name in have:
        assert get_recipe(name, target) is RECIPES[name]


def test_every_recipe_holds_every_component_to_a_parity_and_less_bits_to_no_more() -> None:
    for recipe in RECIPES.values():
        assert set(recipe.least_psnr_db) == set(PER_COMPONENT) and recipe.least_image_psnr_db > 0
        assert not recipe.quantizes or set(recipe.most_float) == set(PER_COMPONENT)
    ladder = [RECIPES[name] for name in ("fp32", "fp16", "int8", "int6", "int4")]
    for finer, coarser in zip(ladder, ladder[1:], strict=False):
        assert all(finer.least_psnr_db[name] >= coarser.least_psnr_db[name] for name in PER_COMPONENT)
        assert finer.least_image_psnr_db >= coarser.least_image_psnr_db
    # What the project promises of whole pictures: 35 dB in 16 bits, 30 dB in 8.
    assert RECIPES["fp16"].least_image_psnr_db >= 35 and RECIPES["int8"].least_image_psnr_db >= 30


def test_the_thresholds_are_those_of_the_documentation() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d, ]+) \| (\d+) \|$", DOCS.read_text(), re.MULTILINE)
    said = {name: ([float(least) for least in parts.split(", ")], float(picture)) for name, parts, picture in rows}
    assert said == {
        name: ([recipe.least_psnr_db[part] for part in PER_COMPONENT], recipe.least_image_psnr_db)
        for name, recipe in RECIPES.items()
    }


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES.values() if recipe.quantizes])
def test_what_may_stay_float_is_what_was_measured(recipe: Recipe) -> None:
    """The demo has 4 % of its text encoder, 19 % of a small denoiser, 13 % of its decoder in float."""
    assert tuple(recipe.most_float[name] for name in PER_COMPONENT) == (0.05, 0.2, 0.5, 0.5)


@pytest.mark.parametrize("target", TARGETS)
def test_an_unknown_recipe_is_refused_with_the_targets_own(target: TargetName) -> None:
    with pytest.raises(BadInput, match=f"Unknown recipe 'int3'; --target {target} has: fp32, fp16, int8"):
        get_recipe("int3", target)


@pytest.mark.parametrize(("target", "name"), WHY_NOT)
def test_a_recipe_that_a_target_lacks_is_refused_with_the_reason_and_the_others(target: TargetName, name: str) -> None:
    with pytest.raises(BadInput) as refused:
        get_recipe(name, target)
    sentence = str(refused.value)
    assert f"The target {target} has no recipe '{name}'" in sentence and WHY_NOT[target, name] in sentence
    choices = sentence.rsplit("one of: ", 1)[1].removesuffix(".").split(", ")
    assert name not in choices and "int8" in choices


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "onnx", "--recipe", "int4"], "The target onnx has no recipe 'int4'"),
        (["--target", "tflite", "--recipe", "mixed"], "TFLite has no palettes"),
        (["--target", "all", "--recipe", "int8-dynamic"], "has no recipe 'int8-dynamic'"),
        (["--target", "coreml", "--ios", "15"], "use --ios with one of: 16, 17, 18"),
        (["--target", "onnx", "--ios", "15"], "use --ios with one of: 16, 17, 18"),
        (["--target", "all", "--ios", "19"], "use --ios with one of: 16, 17, 18"),
        (["--target", "coreml", "--recipe", "int4"], "add --ios 18"),
        (["--target", "coreml", "--resolution", "64,128"], "add --ios 18, or give one --resolution"),
        *(
            (["--target", "onnx", "--resolution", text], "--resolution takes sides in px such as 512 or 256,512,1024")
            for text in ("64,", ",64", "", "wide", "64.5", "-64", "64;128", "64x64", "²", "64,0", "99999999999")
        ),
        (["--target", "onnx", "--resolution", "64,128,64"], "names a side twice"),
        (["--target", "onnx", "--resolution", "64,100"], "100 x 100 px does not fit f8c4"),
    ],
)
def test_what_no_target_can_do_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, tmp_path: Path, run_export: Run
) -> None:
    code, stdout, err = run_export(*NANO, *arguments, "--out", str(tmp_path / "bundle"))
    assert (code, stdout) == (2, "") and len(err.splitlines()) == 1
    assert err.startswith("error: ") and sentence in err, err
    assert list(tmp_path.iterdir()) == []


def test_all_targets_are_planned_side_by_side_and_nothing_is_written(tmp_path: Path, run_export: Run) -> None:
    arguments = ["--target", "all", "--resolution", "64", "--dry-run", "--out", str(tmp_path / "bundles")]
    code, stdout, err = run_export(*NANO, *arguments)
    assert code == 0, err
    for target in ("onnx", "coreml", "tflite"):
        lines = [line for line in stdout.splitlines() if line.endswith(str(tmp_path / "bundles" / f"nano-{target}"))]
        assert [line.split(":")[0] for line in lines] == ["text_encoder", "denoiser", "decoder"]
    assert list(tmp_path.iterdir()) == []


def test_one_run_writes_a_bundle_for_every_target_and_asks_of_each_what_the_user_asked(
    decoders: Callable[[str], dict[TargetName, Path]],
) -> None:
    from coremltools.models.utils import load_spec

    written = {target: manifest.load(folder) for target, folder in decoders("int8").items()}
    assert {target: each.target for target, each in written.items()} == {target: target for target in TARGETS}
    assert {target: each.requires for target, each in written.items()} == {
        "onnx": None,
        "tflite": None,
        "coreml": "iOS18",
    }
    spec = load_spec(str(decoders("int8")["coreml"] / "decoder.mlpackage"))
    assert spec.specificationVersion == 9, "Core ML's own number of iOS 18"
    hashes = {target: each.source.digest for target, each in written.items()}
    assert len(set(hashes.values())) == 1, "three formats of one model"


@pytest.mark.parametrize(
    ("target", "package"),
    [
        ("onnx", "onnx_ir"),
        ("onnx", "onnxscript"),
        ("coreml", "coremltools"),
        ("tflite", "litert_torch"),
        ("tflite", "ai_edge_quantizer"),
        ("tflite", "ai_edge_litert"),
    ],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    target: TargetName, package: str, tmp_path: Path, run_export: Run, without_package: Callable[..., None]
) -> None:
    without_package(package, f"lira_export.{target}", "lira_export.passes", "lira_runtime.backends.tflite")
    code, stdout, err = run_export(*NANO, "--target", target, "--out", str(tmp_path / "bundle"))
    assert_names_extra((code, stdout, err), package, target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", TARGETS)
def test_without_torch_every_target_names_its_own_extra(target: TargetName, tmp_path: Path) -> None:
    arguments = ["lira-export", *NANO, "--target", target, "--out", str(tmp_path / "bundle")]
    program = f"import sys; sys.modules['torch'] = None; sys.argv = {arguments}; "
    program += "from lira_export.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert_names_extra((done.returncode, done.stdout, done.stderr), "torch", target)


def assert_names_extra(ran: tuple[int, str, str], package: str, target: TargetName) -> None:
    code, stdout, err = ran
    sentences = [line for line in err.splitlines() if not line.startswith("[transformers]")]  # it misses torch, too
    assert (code, stdout) == (2, "") and len(sentences) == 1, err
    assert sentences[0].startswith(f"error: {package} is not installed, which --target {target} needs")
    assert f"pip install '.[{target}]'" in sentences[0]


def test_golden_runs_ask_at_least_what_the_recipe_asks_that_asks_least() -> None:
    assert min(min(recipe.least_psnr_db.values()) for recipe in RECIPES.values()) == LEAST_PARITY_DB


def test_the_command_starts_without_any_converter() -> None:
    heavy = ("torch", "onnx", "coremltools", "litert_torch", "ai_edge_litert", "ai_edge_quantizer", "transformers")
    program = f"import sys, lira_export.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
