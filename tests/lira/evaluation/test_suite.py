"""The obedience suite holds what training never shows."""

import zlib

from lira.data.scenes import SIZES, Scene
from lira.evaluation.suite import obedience


def combinations(scene: Scene) -> list[str]:
    """The split's rule, said once more: things with the background, and the two things in alphabetical order."""
    things = sorted(thing for thing in (scene.first, scene.second) if thing is not None)
    return [f"{thing}|{scene.background}" for thing in things] + (["|".join(things)] if len(things) == 2 else [])


def test_every_prompt_holds_a_combination_that_training_never_shows() -> None:
    for scene in obedience(400):
        assert any(zlib.crc32(text.encode()) % 20 == 0 for text in combinations(scene)), scene


def test_prompts_are_distinct_and_a_short_suite_begins_a_long_one() -> None:
    captions = [scene.caption for scene in obedience(400)]
    assert len(set(captions)) == 400
    assert [scene.caption for scene in obedience(64)] == captions[:64]


def test_mix_is_sixty_percent_pairs_and_single_things_of_every_size_and_place() -> None:
    scenes = obedience(400)
    pairs = [scene for scene in scenes if scene.second is not None]
    singles = [scene for scene in scenes if scene.second is None]
    assert len(pairs) == 240 and len(singles) == 160
    assert {scene.relation for scene in pairs} == {"left of", "right of", "above", "below"}
    assert {scene.size for scene in singles} == set(SIZES)
    assert len({scene.position for scene in singles}) == 9
