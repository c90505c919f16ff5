"""The demo model in all three formats, by the default recipe: what its files hold, and that they draw the same."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from lowering_baseline import counts, moved
from PIL import Image

from lira.evaluation.eager import draw_batch
from lira.sources import Request, load_models
from lira_export.guard import ALLOWED, CONTROL_FLOW, UNDELEGATED
from lira_export.targets import TARGETS
from lira_runtime import manifest
from lira_runtime.cli import main as generate
from lira_runtime.sampler import shifted_sigmas

BASELINE = Path(__file__).with_name("lowering.json")
Folders = dict[str, Path]


@pytest.mark.lowering
def test_ops_by_kind_are_those_of_the_baseline(formats: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    found = counts(list(formats.values()))
    with capsys.disabled():
        print()
        for target, parts in found.items():
            for part, kinds in parts.items():
                listed = ", ".join(f"{kind} {count}" for kind, count in Counter(kinds).most_common())
                print(f"{target} {part}: {listed}")
    changed = moved(json.loads(BASELINE.read_text()), found)
    assert not changed, "\n".join(["ops have moved; look, then `make baseline`:", *changed])


@pytest.mark.lowering
@pytest.mark.parametrize("target", TARGETS)
def test_no_graph_has_control_flow_or_ops_outside_the_targets_list(formats: Folders, target: str) -> None:
    for component in manifest.load(formats[target]).components:
        assert not set(component.contents.ops) & CONTROL_FLOW
        assert set(component.contents.ops) <= ALLOWED[target], component.name


@pytest.mark.lowering
def test_xnnpack_takes_every_op_but_look_ups_and_the_step_count(
    formats: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    from lira_export.tflite.delegation import undelegated

    found = {}
    for component in manifest.load(formats["tflite"]).components:
        graph = component.graphs[0]
        left = found[component.name] = undelegated(formats["tflite"] / graph.path, graph.entry)
        with capsys.disabled():
            reasons = "".join(f"\n    {kind}: {UNDELEGATED.get(kind, 'NO REASON KNOWN')}" for kind in left)
            print(f"\ntflite {component.name}: {sum(left.values())} ops not taken by XNNPACK{reasons}", end="")
    assert found == {"text_encoder": {"EMBEDDING_LOOKUP": 1, "RESHAPE": 1}, "denoiser": {"CAST": 1}, "decoder": {}}


@pytest.mark.parametrize("target", TARGETS)
def test_the_default_recipe_draws_the_eager_models_picture_in_every_format(formats: Folders, target: str) -> None:
    drawn = manifest.load(formats[target]).trajectory
    assert drawn is not None and drawn.passed and len(drawn.drift_db) == drawn.steps == 20
    assert 30 <= drawn.image_psnr_db < 100, "closer than 8-bit weights can be: nothing was quantized"


def test_the_three_bundles_hold_the_same_components_with_the_same_tensors(formats: Folders) -> None:
    contracts = {
        target: [
            (part.name, graph.inputs, graph.outputs)
            for part in manifest.load(folder).components
            for graph in part.graphs
        ]
        for target, folder in formats.items()
    }
    assert contracts["onnx"] == contracts["coreml"] == contracts["tflite"]


def test_lira_generate_draws_with_the_tflite_bundle_what_its_manifest_says(formats: Folders, tmp_path: Path) -> None:
    said, models, out = manifest.load(formats["tflite"]).trajectory, load_models(Request("nano")), tmp_path / "a.png"
    assert said is not None
    with pytest.raises(SystemExit) as ended:
        generate([str(formats["tflite"]), said.prompt, "--seed", str(said.seed), "--out", str(out)])
    assert not ended.value.code
    sigmas = shifted_sigmas(said.steps, models.sampler.shift)
    (eager,) = draw_batch(models, [said.prompt], said.seed, sigmas, said.guidance)
    with Image.open(out) as image:
        error = np.sqrt(np.mean(np.square(np.asarray(image).astype(float) - eager)))
    assert 20 * np.log10(255 / error) == pytest.approx(said.image_psnr_db, abs=0.2)
