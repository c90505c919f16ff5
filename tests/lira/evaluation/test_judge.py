"""The judge reads a map as it stands, and knows where scenes put their things."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lira.data.scenes import Scene
from lira.evaluation.judge import PLACES, THINGS, Judge, Reading, Seen, judge_weights, load_judge, reading, truth
from lira.evaluation.judge_training import labels, save_judge
from lira.evaluation.suite import obedience
from lira_runtime.errors import BadInput

CAT, OWL = THINGS.index("cat") + 1, THINGS.index("owl") + 1


def test_places_are_the_grid_row_by_row() -> None:
    rows = [["top left", "top", "top right"], ["left", "centre", "right"], ["bottom left", "bottom", "bottom right"]]
    assert list(PLACES) == sum(rows, [])


def test_map_is_read_place_by_place_and_nothing_is_left_out() -> None:
    things, sizes = np.zeros(9, np.int64), np.array([0, 1, 2] * 3)
    things[3], things[5], things[8] = CAT, OWL, CAT
    # Backgrounds: white, grey, blue; sizes by column: small, medium, large.
    assert reading(things, sizes, np.array(2)) == Reading(
        {"left": Seen("cat", "small"), "right": Seen("owl", "large"), "bottom right": Seen("cat", "large")}, "blue"
    )
    assert reading(np.zeros(9, np.int64), sizes, np.array(0)) == Reading({}, "white")


@pytest.mark.parametrize(
    ("relation", "places"),
    [
        ("left of", ("left", "right")),
        ("right of", ("right", "left")),
        ("above", ("top", "bottom")),
        ("below", ("bottom", "top")),
    ],
)
def test_truth_of_a_pair(relation: str, places: tuple[str, str]) -> None:
    scene = Scene("cat", "pink", relation=relation, second="owl")
    assert truth(scene) == Reading({places[0]: Seen("cat", "large"), places[1]: Seen("owl", "large")}, "pink")


@pytest.mark.parametrize("place", PLACES)
def test_truth_of_a_single_thing(place: str) -> None:
    assert truth(Scene("cat", "blue", "small", place)) == Reading({place: Seen("cat", "small")}, "blue")


def test_labels_mark_things_sizes_and_background() -> None:
    things, sizes, backgrounds = labels([Scene("cat", "grey", relation="above", second="owl")])
    assert things.tolist() == [[[0, CAT, 0], [0, 0, 0], [0, OWL, 0]]]
    assert sizes.tolist() == [[[-1, 2, -1], [-1, -1, -1], [-1, 2, -1]]]
    assert backgrounds.tolist() == [1]


def test_judge_reads_pictures_of_any_size_and_its_file_gives_the_same_readings(tmp_path: Path) -> None:
    torch.manual_seed(0)
    judge = Judge().half().float().eval()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 200, 200, 3), np.uint8)
    save_judge(judge, tmp_path / "judge.safetensors")
    readings = judge.read(pictures)
    assert len(readings) == 3
    assert load_judge(tmp_path / "judge.safetensors").read(pictures) == readings
    assert (tmp_path / "judge.safetensors").stat().st_size <= 2_000_000


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    judge = Judge()
    judge.sizes = torch.nn.Conv2d(8, 3, 1)
    save_judge(judge, tmp_path / "judge.safetensors")
    with pytest.raises(BadInput, match="sizes"):
        load_judge(tmp_path / "judge.safetensors")


def test_committed_judge_reads_plain_backgrounds_and_sees_nothing_on_them() -> None:
    colours = {"white": (245, 245, 245), "purple": (166, 132, 216), "green": (128, 200, 132)}
    pictures = np.stack([np.full((256, 256, 3), rgb, np.uint8) for rgb in colours.values()])
    assert load_judge(judge_weights()).read(pictures) == [Reading({}, name) for name in colours]


def test_committed_judge_reads_in_real_scenes_that_it_never_saw_what_was_rendered() -> None:
    """scenes.webp: the first five scenes of the obedience suite, of Fluent emoji, side by side."""
    scenes = obedience(5)
    strip = np.asarray(Image.open(Path(__file__).with_name("scenes.webp")).convert("RGB"))
    found = load_judge(judge_weights()).read(np.stack(np.split(strip, 5, axis=1)))
    assert found == [truth(scene) for scene in scenes]
