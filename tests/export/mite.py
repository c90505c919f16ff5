"""The smallest model that exports in every format."""

from lira.presets import Preset

MITE = Preset(
    "mite",
    blocks=1,
    d_model=128,
    d_state=4,
    head_width=64,
    cond_ratio=1,
    fusion_every=1,
    reasoning_width=8,
    reasoning_steps=3,
    chunk=8,
)
"""One block with everything a block may have: converters take seconds for it, and four in five weights are int8."""
MITE_SIDES = (32, 64)
