"""Scenes: captions in right English, pictures that follow from the scene, and a split that does not leak."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lira.data.emoji import EmojiSet
from lira.data.scenes import BACKGROUNDS, POSITIONS, Scene, is_held_out, placements, render, sample_scene, sample_split
from lira.data.vocabulary import VOCABULARY
from lira_runtime.errors import BadInput


@pytest.mark.parametrize(
    ("scene", "caption"),
    [
        (Scene("red apple", "blue"), "a red apple on a blue background"),
        (Scene("owl", "orange"), "an owl on an orange background"),
        (Scene("owl", "pink", size="small"), "a small owl on a pink background"),
        (Scene("unicorn", "grey"), "a unicorn on a grey background"),
        (Scene("scissors", "white", size="medium"), "medium scissors on a white background"),
        (Scene("frog", "green", position="top left"), "a frog in the top left on a green background"),
        (
            Scene("frog", "yellow", relation="left of", second="bicycle"),
            "a frog left of a bicycle on a yellow background",
        ),
        (Scene("anchor", "white", relation="below", second="egg"), "an anchor below an egg on a white background"),
    ],
)
def test_captions_are_right_english(scene: Scene, caption: str) -> None:
    assert scene.caption == caption


def test_different_scenes_have_different_captions() -> None:
    rng = np.random.default_rng(0)
    scenes = {sample_scene(rng) for _ in range(5000)}
    assert len({scene.caption for scene in scenes}) == len(scenes)


@given(st.integers(0, 2**32 - 1))
def test_every_sampled_scene_fits_on_the_canvas_with_any_jitter(seed: int) -> None:
    for _, size, x, y in placements(sample_scene(np.random.default_rng(seed))):
        assert min(x, y) - size // 2 - 4 >= 0
        assert max(x, y) + size // 2 + 4 <= 256


@given(st.integers(0, 2**32 - 1))
def test_the_vowel_decides_the_article(seed: int) -> None:
    caption = sample_scene(np.random.default_rng(seed)).caption
    for article, letter in re.findall(r"\b(an?) (\w)", caption.replace("unicorn", "horse")):
        assert (article == "an") == (letter in "aeiou"), caption


def test_the_mix_is_30_30_40() -> None:
    rng = np.random.default_rng(3)
    scenes = [sample_scene(rng) for _ in range(8000)]
    pairs = np.mean([scene.second is not None for scene in scenes])
    plain = np.mean([(scene.second, scene.size, scene.position) == (None, "large", "centre") for scene in scenes])
    # The share with words repeats "large, centre" one time in 27.
    assert pairs == pytest.approx(0.4, abs=0.02)
    assert plain == pytest.approx(0.3 + 0.3 / 27, abs=0.02)


def test_a_thing_is_drawn_where_the_scene_says(emoji: EmojiSet) -> None:
    for position, (_, side_x, side_y) in POSITIONS.items():
        picture = render(Scene("frog", "white", size="small", position=position), emoji)
        y, x = np.nonzero((picture != BACKGROUNDS["white"]).any(-1))
        centre = np.array([x.mean(), y.mean()]) - 127.5
        assert (np.sign(np.where(np.abs(centre) > 8, centre, 0)) == (side_x, side_y)).all(), position


def test_the_first_thing_of_a_pair_stands_where_the_relation_says(emoji: EmojiSet) -> None:
    picture = render(Scene("frog", "white", relation="right of", second="bicycle"), emoji)
    frog = np.asarray(emoji.sprite("frog", 120).colour)[60, 60]
    assert (picture[128, 128 + 64] == frog).all()
    assert not (picture[128, 128 - 64] == frog).all()


def test_jitter_moves_the_thing_and_nothing_else(emoji: EmojiSet) -> None:
    still, moved = (render(Scene("owl", "blue"), emoji, jitter) for jitter in ((0, 0), (3, -2)))
    assert np.array_equal(np.roll(still, (-2, 3), axis=(0, 1)), moved)


def test_half_transparent_pixels_mix_with_the_background(tmp_path: Path) -> None:
    for code in VOCABULARY.values():
        Image.new("RGBA", (64, 64), (200, 0, 100, 128)).save(tmp_path / f"{code}.webp", lossless=True)
    pixel = render(Scene("frog", "blue"), EmojiSet(tmp_path))[128, 128].astype(float)
    expected = np.array([200, 0, 100]) * 128 / 255 + np.array(BACKGROUNDS["blue"]) * 127 / 255
    assert np.abs(pixel - expected).max() <= 1.5


def test_the_split_holds_out_about_5_percent_of_every_kind_of_combination() -> None:
    names = list(VOCABULARY)
    with_background = [is_held_out(Scene(name, background)) for name in names for background in BACKGROUNDS]
    assert np.mean(with_background) == pytest.approx(0.05, abs=0.015)
    rng = np.random.default_rng(5)
    pairs = [scene for scene in (sample_scene(rng) for _ in range(8000)) if scene.second is not None]
    assert np.mean([is_held_out(scene) for scene in pairs]) == pytest.approx(1 - 0.95**3, abs=0.02)


def test_no_training_scene_shows_what_is_held_out() -> None:
    """Whatever held-out scenes show (a thing with a background, two things together) no training scene shows."""
    rng = np.random.default_rng(6)
    held_out = [scene for scene in (sample_scene(rng) for _ in range(6000)) if is_held_out(scene)]
    training = [sample_split(rng, held_out=False) for _ in range(20000)]
    alone = {(scene.first, scene.background) for scene in held_out if scene.second is None}
    seen = {(thing, scene.background) for scene in training for thing in (scene.first, scene.second) if thing}
    assert alone
    assert not alone & seen
    together = {frozenset((scene.first, scene.second)) for scene in training}
    never = [
        scene
        for scene in held_out
        if scene.second is not None
        and not any(is_held_out(Scene(thing, scene.background)) for thing in (scene.first, scene.second))
    ]
    assert never
    assert not {frozenset((scene.first, scene.second)) for scene in never} & together


def test_each_split_yields_its_own_scenes_only() -> None:
    rng = np.random.default_rng(6)
    assert all(is_held_out(sample_split(rng, held_out=True)) for _ in range(50))
    assert not any(is_held_out(sample_split(rng, held_out=False)) for _ in range(500))


@pytest.mark.parametrize(
    "fields",
    [
        {"first": "hippogriff", "background": "blue"},
        {"first": "frog", "background": "beige"},
        {"first": "frog", "background": "blue", "second": "owl"},
        {"first": "frog", "background": "blue", "relation": "left of"},
        {"first": "frog", "background": "blue", "relation": "above", "second": "owl", "size": "small"},
    ],
)
def test_an_impossible_scene_cannot_be_made(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="vocabulary|unknown|relation|pair"):
        Scene(**fields)


def test_names_are_simple_and_no_two_share_a_picture() -> None:
    assert len(VOCABULARY) >= 110
    assert len(set(VOCABULARY.values())) == len(VOCABULARY)
    assert all(re.fullmatch(r"[a-z-]+( [a-z-]+){0,2}", name) for name in VOCABULARY)


def test_an_archive_and_its_folder_give_the_same_pictures(emoji_folder: Path, emoji: EmojiSet, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        archive.add(emoji_folder, "package")
    packed = EmojiSet(tmp_path / "package.tgz")
    assert np.array_equal(packed.sprite("owl", 96).colour, emoji.sprite("owl", 96).colour)


def test_a_missing_package_a_broken_archive_and_a_missing_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No emoji package"):
        EmojiSet(tmp_path / "none.tgz").sprite("owl", 64)
    (tmp_path / "bad.tgz").write_bytes(b"no archive")
    with pytest.raises(BadInput, match="no readable .tgz"):
        EmojiSet(tmp_path / "bad.tgz").sprite("owl", 64)
    with tarfile.open(tmp_path / "empty.tgz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("package/readme"), io.BytesIO())
    with pytest.raises(BadInput, match="lacks"):
        EmojiSet(tmp_path / "empty.tgz").sprite("owl", 64)
