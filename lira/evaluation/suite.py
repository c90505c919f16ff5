"""The prompts of the obedience suite: held-out scenes, all distinct, the same ones every time."""

import numpy as np

from lira.data.scenes import Mix, Scene, sample_split

SEED = 2_000
PATTERN = (True, False, True, False, True)
"""Whether a prompt is a pair, over and over: 60 % pairs, 40 % single things of any size and place."""
PAIRS, SINGLES = Mix(centred=0, placed=0), Mix(centred=0, placed=1)


def obedience(count: int) -> list[Scene]:
    """`count` held-out scenes without repetition; a shorter suite is the beginning of a longer one.

    Prompt i is drawn with seed i.
    """
    rng = np.random.default_rng(SEED)
    scenes: list[Scene] = []
    seen: set[Scene] = set()
    while len(scenes) < count:
        mix = PAIRS if PATTERN[len(scenes) % len(PATTERN)] else SINGLES
        scene = sample_split(rng, held_out=True, mix=mix)
        if scene not in seen:
            seen.add(scene)
            scenes.append(scene)
    return scenes
