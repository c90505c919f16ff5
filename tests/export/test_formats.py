"""The demo model in all three formats, by the default recipe: what its files hold, and that they draw the same."""

import json
from collections import Counter
from pathlib import Path

import pytest
from lowering_baseline import counts, moved

from lira.sources import Request, load_models
from lira_export.bundle import Order, write_bundle
from lira_export.guard import ALLOWED, CONTROL_FLOW, MOST_UNDELEGATED, UNDELEGATED
from lira_export.recipes import DEFAULT_RECIPE, get_recipe
from lira_export.references import References
from lira_export.targets import TARGETS, make_target
from lira_runtime import manifest

BASELINE = Path(__file__).with_name("lowering.json")
Folders = dict[str, Path]


@pytest.fixture(scope="session")
def formats(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Bundle by target."""
    models = load_models(Request("nano"))
    references = References(models, (models.resolution,))
    folder = tmp_path_factory.mktemp("formats")
    for target in TARGETS:
        order = Order("nano", make_target(target), get_recipe(DEFAULT_RECIPE, target), folder / target)
        write_bundle(order, references, lambda line: None)
    return {target: folder / target for target in TARGETS}


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

    for component in manifest.load(formats["tflite"]).components:
        graph = component.graphs[0]
        left = undelegated(formats["tflite"] / graph.path, graph.entry)
        with capsys.disabled():
            reasons = "".join(f"\n    {kind}: {UNDELEGATED.get(kind, 'NO REASON KNOWN')}" for kind in left)
            print(f"\ntflite {component.name}: {sum(left.values())} ops not taken by XNNPACK{reasons}", end="")
        assert set(left) <= set(UNDELEGATED) and left.total() <= MOST_UNDELEGATED


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
