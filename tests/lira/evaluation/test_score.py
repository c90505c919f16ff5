"""Verdicts on hand-made readings, and intervals against closed forms and resampling."""

import numpy as np
import pytest

from lira.data.scenes import Scene
from lira.evaluation.judge import Reading, Seen
from lira.evaluation.score import difference, ignoring_text, judge_obedience, shares, wilson

PAIR = Scene("cat", "pink", relation="left of", second="owl")
SINGLE = Scene("cat", "blue", "small", "top left")


def read(background: str, **places: str) -> Reading:
    """A reading from place="thing size"; underscores in places stand for blanks."""
    seen = {place.replace("_", " "): Seen(*text.rsplit(" ", 1)) for place, text in places.items()}
    return Reading(seen, background)


@pytest.mark.parametrize(
    ("reading", "objects", "relation", "background"),
    [
        (read("pink", left="cat large", right="owl large"), True, True, True),
        (read("blue", left="cat large", right="owl large"), True, True, False),
        (read("pink", left="owl large", right="cat large"), True, False, True),  # swapped
        (read("pink", top="cat large", bottom="owl large"), True, False, True),  # another axis
        (read("pink", left="cat large", right="dog large"), False, True, True),  # one thing wrong, at its place
        (read("pink", left="cat large", right="cat large"), False, False, True),  # the cat is on both sides
        (read("pink", left="dog large", right="bee large"), False, False, True),
        (read("pink", left="cat large"), False, False, True),  # a thing is missing
        (read("pink", left="cat large", right="owl large", top="bee small"), False, False, True),  # one too many
        (read("pink"), False, False, True),
    ],
)
def test_verdicts_on_a_pair(reading: Reading, objects: bool, relation: bool, background: bool) -> None:
    assert judge_obedience(PAIR, reading) == {
        "objects": objects,
        "relation": relation,
        "place": None,
        "size": None,
        "background": background,
        "all": objects and relation and background,
    }


@pytest.mark.parametrize(
    ("reading", "objects", "place", "size"),
    [
        (read("blue", top_left="cat small"), True, True, True),
        (read("blue", top_left="cat large"), True, True, False),
        (read("blue", centre="cat small"), True, False, True),
        (read("blue", top_left="owl small"), False, True, True),
        (read("blue", top_left="cat small", right="cat small"), False, False, False),
        (read("blue"), False, False, False),
    ],
)
def test_verdicts_on_a_single_thing(reading: Reading, objects: bool, place: bool, size: bool) -> None:
    assert judge_obedience(SINGLE, reading) == {
        "objects": objects,
        "relation": None,
        "place": place,
        "size": size,
        "background": True,
        "all": objects and place and size,
    }


def test_shares_count_only_what_applies() -> None:
    right_pair = judge_obedience(PAIR, read("pink", left="cat large", right="owl large"))
    wrong_single = judge_obedience(SINGLE, read("blue", top_left="cat large"))
    counted = {name: (s.right, s.count) for name, s in shares([right_pair, wrong_single]).items()}
    expected = {"objects": (2, 2), "relation": (1, 1), "place": (1, 1), "size": (0, 1), "background": (2, 2)}
    assert counted == expected | {"all": (1, 2)}


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval_is_the_published_one(right: int, count: int, low: float, high: float) -> None:
    assert wilson(right, count) == pytest.approx((low, high), abs=5e-5)


def test_wilson_ends_solve_the_score_equation() -> None:
    for end in wilson(370, 400):
        assert abs(370 / 400 - end) / np.sqrt(end * (1 - end) / 400) == pytest.approx(1.959964, abs=1e-6)


def test_difference_agrees_with_resampling_prompts() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(400) < 0.9, rng.random(400) < 0.85
    found = difference([(bool(x), bool(y)) for x, y in zip(a, b, strict=True)])
    rows = rng.integers(0, 400, (20_000, 400))
    resampled = (a[rows].mean(1) - b[rows].mean(1)).tolist()
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.004)
    assert (found.gained, found.lost) == (int((a & ~b).sum()), int((b & ~a).sum()))


def test_difference_of_equal_runs_is_zero_but_not_certain() -> None:
    found = difference([(True, True)] * 98 + [(None, None)] * 50)
    # p = q = 1/100: half a width of 1.96 sqrt(0.02 / 100).
    assert (found.value, found.low, found.high) == pytest.approx((0, -0.027718, 0.027718), abs=1e-6)


def test_drawings_that_ignore_the_text_are_judged_against_every_other_prompt() -> None:
    scenes = [Scene("cat", "pink"), Scene("cat", "blue"), Scene("owl", "pink")]
    readings = [read("pink", centre="cat large"), read("blue", centre="cat large"), read("pink", centre="owl large")]
    found = ignoring_text(scenes, readings)
    # Of six ordered pairs: the cats agree in two, the pinks in two, nothing in both.
    assert (found["objects"], found["background"], found["all"]) == pytest.approx((2 / 6, 2 / 6, 0))
    assert (found["place"], found["size"]) == (1, 1)
