import re

import numpy as np

from lira.data.scenes import BACKGROUNDS
from lira.evaluation import report
from lira.evaluation.drawing import Artist, Options
from lira.evaluation.eager import draw_batch, eager_artist
from lira.evaluation.judge import Reading
from lira.evaluation.score import ATTRIBUTES
from lira.evaluation.suite import obedience
from lira.sources import Request, demo_weights, load_models
from lira_runtime.progress import Progress
from lira_runtime.sampler import shifted_sigmas

NAMES = list(BACKGROUNDS)


class GreyJudge:
    """Reads a picture's grey level as the number of a background."""

    def read(self, pictures):
        return [Reading({}, NAMES[picture[0, 0, 0]]) for picture in pictures]


def painter(numbers):
    return Artist("painter", {}, lambda prompts: (np.full((4, 4, 3), number, np.uint8) for number in numbers))


def test_every_picture_is_judged_for_its_own_prompt_and_differences_are_first_minus_second() -> None:
    scenes = obedience(60)
    right = [NAMES.index(scene.background) for scene in scenes]
    wrong = [(number + 1) % 8 for number in right]
    runs = [report.run_suite(painter(n), scenes, GreyJudge(), 5, Progress(60, "draw")) for n in (right, wrong)]
    assert [reading.background for reading in runs[0].readings] == [scene.background for scene in scenes]
    assert [int(picture[0, 0, 0]) for picture in runs[0].kept] == right[:5]
    against = report.summary("obedience", scenes, runs)["runs"][1]["first_minus_this"]["background"]
    assert (against["value"], against["gained"], against["lost"]) == (1, 60, 0)


def test_an_eager_prompt_is_drawn_from_the_noise_of_its_own_number() -> None:
    prompts = [scene.caption for scene in obedience(18)]
    *_, last = eager_artist(demo_weights(), "on", Options(steps=1, guidance=1.0)).draw(prompts)
    (alone,) = draw_batch(load_models(Request("nano")), prompts[17:], 17, shifted_sigmas(1, 1.0), 1.0)
    assert np.abs(last.astype(int) - alone).max() <= 1


def test_the_tables_columns_stand_apart_however_long_intervals_and_names_are() -> None:
    name = "a bundle with a name of more than twenty-eight letters"
    share = {"value": 1.0, "low": 1.0, "high": 1.0, "count": 10_000}
    points = {"value": -1.0, "low": -1.0, "high": -1.0}
    run = {"name": name, "shares": dict.fromkeys(ATTRIBUTES, share), "ignoring_text": dict.fromkeys(ATTRIBUTES, 1.0)}
    run["first_minus_this"] = dict.fromkeys(ATTRIBUTES, points)
    lines = report.table({"suite": "obedience", "count": 10_000, "runs": [run]}).splitlines()
    cells = [re.split("  +", line.strip()) for line in lines[1:5]]
    assert cells[0] == [f"{attribute} (n=10000)" for attribute in ATTRIBUTES]
    assert cells[1] == [name, *["100.0 (100.0 to 100.0)"] * 6]
    assert cells[3] == ["first run minus this", *["-100.0 (-100.0 to -100.0)"] * 6]
    assert len({len(line) for line in lines[1:5]}) == 1, "the last column is flush right"
