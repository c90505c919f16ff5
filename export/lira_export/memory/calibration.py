"""What an engine takes by itself: coefficients measured once for each, in calibration.toml beside this file.

`python benchmarks/memory_calibrate.py` writes the file anew.
"""

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources

import msgspec

from lira_runtime.errors import BadInput
from lira_runtime.manifest import TargetName, WeightsMode

FILE = "calibration.toml"
CONVOLUTIONS = "convolutions"
"""In the place of a recipe: a network without a matrix product."""


class Streamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What streaming weights changes, in bytes.

    window: weights that are resident at a time while a graph runs. loading, and loading_share of all weights: the same
    while it loads. code: pages of libraries that are let go of and do not come back.
    """

    window: int
    loading: int
    loading_share: float
    code: int


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Coefficients of one engine; sizes in bytes, ratios in bytes a byte.

    start: what the pipeline's process takes for a moment before its first stage, while it reads the tokenizer. process:
    what stays of that, the idle process. library: the engine's code, brought in by the
    first graph. kept: what stays of a stage after it was unloaded, the library included. session: of each loaded graph;
    op: of each of its ops. workspace: resident for each byte that is planned, by recipe; under CONVOLUTIONS for a
    network of them, whose blocked layouts the plan does not know. loading: for a moment while it loads, for each byte
    stored as float16. left: of that, what freed memory keeps until the unload.
    streamed: None for an engine that cannot stream weights.
    """

    start: int
    process: int
    library: int
    kept: int
    session: int
    op: float
    workspace: Mapping[str, float]
    loading: float
    left: float
    streamed: Streamed | None = None


@functools.cache
def engines() -> Mapping[str, Engine]:
    """The committed coefficients by target."""
    return read_engines(resources.files(__package__).joinpath(FILE).read_text())


def read_engines(text: str) -> dict[str, Engine]:
    """Coefficients by target, from the file's text."""
    return msgspec.convert(tomllib.loads(text), dict[str, Engine])


def engine_of(target: TargetName) -> Engine:
    """The coefficients of a target's engine. Raises BadInput for Core ML, which runs on no machine of ours."""
    if target not in engines():
        raise BadInput(
            f"the memory of {target} cannot be predicted, since its engine runs on Apple's systems alone; leave out "
            "--budget and --weights, or use --target onnx or tflite."
        )
    return engines()[target]


def check_predictable(target: TargetName, weights: WeightsMode | None) -> None:
    """Raise BadInput where the memory of a target cannot be predicted, or its weights cannot be loaded like that."""
    if engine_of(target).streamed is None and weights == "streamed":
        raise BadInput(f"{target} cannot stream its weights; use --weights packed or mapped.")
