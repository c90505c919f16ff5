"""Scenes: one or two things on a plain background, with the caption and the 256 px picture that follow from them."""

import zlib
from dataclasses import dataclass

import numpy as np

from lira.data.emoji import EmojiSet
from lira.data.vocabulary import PLURAL_NAMES, VOCABULARY

CANVAS = 256
"""Side of a rendered picture, in px."""
MAX_JITTER = 4
"""Largest offset of the jitter, in px on either axis."""

BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (245, 245, 245),
    "grey": (150, 153, 160),
    "blue": (112, 162, 236),
    "green": (128, 200, 132),
    "yellow": (250, 222, 112),
    "pink": (250, 172, 198),
    "purple": (166, 132, 216),
    "orange": (245, 165, 96),
}
"""sRGB colours by name."""

POSITIONS: dict[str, tuple[str, int, int]] = {
    "centre": ("", 0, 0),
    "left": ("at the left", -1, 0),
    "right": ("at the right", 1, 0),
    "top": ("at the top", 0, -1),
    "bottom": ("at the bottom", 0, 1),
    "top left": ("in the top left", -1, -1),
    "top right": ("in the top right", 1, -1),
    "bottom left": ("in the bottom left", -1, 1),
    "bottom right": ("in the bottom right", 1, 1),
}
"""Name -> caption words, and the side of the canvas on x and y."""

RELATIONS: dict[str, tuple[int, int]] = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Relation of the first thing to the second -> side of the canvas of the first thing."""

SIZES: dict[str, tuple[int, int]] = {"small": (64, 64), "medium": (96, 96), "large": (184, 120)}
"""Size -> side in px, in the centre and elsewhere (a large thing must leave its place recognisable)."""
PAIR_SIZE = 120
OFFSET = 64
"""From the canvas's centre to a thing's centre, in px on either axis: whole tokens of the demo latent (32 px)."""


@dataclass(frozen=True)
class Scene:
    """What is to be seen. A scene with a `second` thing has a `relation`, and the default `size` and `position`."""

    first: str
    background: str
    size: str = "large"
    position: str = "centre"
    relation: str | None = None
    second: str | None = None

    def __post_init__(self) -> None:
        for name in (self.first, self.second):
            if name is not None and name not in VOCABULARY:
                raise ValueError(f"{name!r} is not in the vocabulary")
        if self.background not in BACKGROUNDS or self.size not in SIZES or self.position not in POSITIONS:
            raise ValueError(f"unknown background, size or position in {self!r}")
        if (self.second is None) != (self.relation is None) or self.relation not in (None, *RELATIONS):
            raise ValueError("a second thing and a known relation go together")
        if self.second is not None and (self.size, self.position) != ("large", "centre"):
            raise ValueError("a pair has no size and no position")

    @property
    def caption(self) -> str:
        """The English caption; it follows from the scene alone."""
        size = "" if self.size == "large" else f"{self.size} "
        words = [_with_article(self.first, size)]
        if self.second is not None:
            words += [str(self.relation), _with_article(self.second)]
        elif self.position != "centre":
            words.append(POSITIONS[self.position][0])
        return " ".join([*words, "on", _with_article(self.background), "background"])


Jitter = tuple[int, int]


def placements(scene: Scene) -> list[tuple[str, int, int, int]]:
    """Every thing as (name, size px, centre x px, centre y px), before the jitter."""
    middle = CANVAS // 2
    if scene.second is not None:
        side_x, side_y = RELATIONS[str(scene.relation)]
        dx, dy = side_x * OFFSET, side_y * OFFSET
        return [
            (scene.first, PAIR_SIZE, middle + dx, middle + dy),
            (scene.second, PAIR_SIZE, middle - dx, middle - dy),
        ]
    size = SIZES[scene.size][scene.position != "centre"]
    _, side_x, side_y = POSITIONS[scene.position]
    return [(scene.first, size, middle + side_x * OFFSET, middle + side_y * OFFSET)]


def render(scene: Scene, emoji: EmojiSet, jitter: Jitter = (0, 0)) -> np.ndarray:
    """The picture, (256, 256, 3) uint8 sRGB; everything is moved by `jitter` = (dx, dy) px."""
    canvas = np.empty((CANVAS, CANVAS, 3), np.uint8)
    canvas[:] = BACKGROUNDS[scene.background]
    for name, size, x, y in placements(scene):
        emoji.sprite(name, size).paste(canvas, x - size // 2 + jitter[0], y - size // 2 + jitter[1])
    return canvas


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of scene: one large thing in the centre, one of any size and place; the rest are pairs."""

    centred: float = 0.3
    placed: float = 0.3


EVERYTHING = Mix()


def sample_scene(rng: np.random.Generator, mix: Mix = EVERYTHING) -> Scene:
    """Draw a scene of the mix."""
    names, backgrounds = list(VOCABULARY), list(BACKGROUNDS)
    draw = rng.random()
    background = backgrounds[rng.integers(len(backgrounds))]
    if draw >= mix.centred + mix.placed:
        first, second = rng.choice(len(names), 2, replace=False)
        relation = list(RELATIONS)[rng.integers(len(RELATIONS))]
        return Scene(names[first], background, relation=relation, second=names[second])
    first = rng.integers(len(names))
    if draw < mix.centred:
        return Scene(names[first], background)
    size = list(SIZES)[rng.integers(len(SIZES))]
    return Scene(names[first], background, size=size, position=list(POSITIONS)[rng.integers(len(POSITIONS))])


def sample_jitter(rng: np.random.Generator) -> Jitter:
    """An offset (dx, dy), each uniform over the integers from -4 to 4 px."""
    dx, dy = rng.integers(-MAX_JITTER, MAX_JITTER + 1, 2)
    return int(dx), int(dy)


def is_held_out(scene: Scene) -> bool:
    """Whether the scene belongs to the held-out split: any of its combinations is one of the 5 % that a hash picks.

    Combinations are each thing with the background and, whatever the relation and the order, the two things of a pair.
    No scene for training shows a held-out combination, in any size, place or relation.
    """
    things = [scene.first] if scene.second is None else sorted([scene.first, scene.second])
    combinations = [f"{thing}|{scene.background}" for thing in things]
    if len(things) == 2:
        combinations.append("|".join(things))
    return any(zlib.crc32(combination.encode()) % 20 == 0 for combination in combinations)


def sample_split(rng: np.random.Generator, held_out: bool, mix: Mix = EVERYTHING) -> Scene:
    """Draw scenes until one of the wanted split comes."""
    while True:
        scene = sample_scene(rng, mix)
        if is_held_out(scene) == held_out:
            return scene


def _with_article(noun: str, adjective: str = "") -> str:
    phrase = adjective + noun
    if noun in PLURAL_NAMES:
        return phrase
    # Of the words in use, only "unicorn" begins with a vowel letter and a consonant sound.
    vowel = phrase[0] in "aeiou" and not phrase.startswith("unicorn")
    return f"{'an' if vowel else 'a'} {phrase}"
