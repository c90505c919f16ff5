"""The process that is profiled: one stage, or the whole pipeline, and nothing else in memory.

`python -m lira_runtime.memory.child ORDER --json` prints one JSON object a line as a phase begins and ends, and the
event `error` where it fails; ORDER is an `Order` as JSON. Nothing heavy is imported before the first phase, whose cost
the imports are.
"""

import contextlib
import dataclasses
import functools
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lira_runtime.errors import cli_guard
from lira_runtime.memory import meter
from lira_runtime.memory.reading import read
from lira_runtime.orphan import end_with_parent

START = "start"
"""The pipeline's phase before its first stage: imports, and the check of the bundle's files."""
IMPORT, LOAD, FIRST_RUN, STEADY_RUN, UNLOAD = "import", "load", "first run", "steady run", "unload"
"""The phases of a stage."""
_LAST_TOKEN = 49407


@dataclass(frozen=True)
class Order:
    """What a child has to do; without a stage it is the whole pipeline.

    target, graph: of a stage, the graph's manifest record as JSON. runs: of a stage, after the first; None runs it not
    at all. prompt, resolution (px) and steps: of the pipeline; keep_loaded: whether it drops no component; hashes:
    as `Bundle.open` has it.
    """

    bundle: str
    weights: str
    threads: int
    stage: str = ""
    target: str = ""
    graph: str = ""
    runs: int | None = None
    resolution: int = 0
    prompt: str = ""
    steps: int = 0
    keep_loaded: bool = False
    hashes: str = "known"

    def to_json(self) -> str:
        """The argument from which the child reads it."""
        return json.dumps(dataclasses.asdict(self))


@contextlib.contextmanager
def phase(name: str, reset: bool = True) -> Iterator[None]:
    """Say that a phase begins, and at its end what is in memory and, where `reset` allows it, the phase's own peak."""
    begin(name, reset)
    yield
    end(name)


def begin(name: str, reset: bool) -> None:
    """Print {"begin": name, "at": seconds of the monotonic clock, "mark": bytes, "reset": whether it was set back}."""
    was_reset = reset and meter.reset_mark()
    _say({"begin": name, "at": time.monotonic(), "mark": read(os.getpid()).mark, "reset": was_reset})


def end(name: str) -> None:
    """Print {"end": name, "at": seconds, and the fields of a `Reading`}."""
    reading = read(os.getpid())
    _say({"end": name, "at": time.monotonic(), **dataclasses.asdict(reading)})


def _say(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


def _stage(order: Order) -> None:
    with phase(IMPORT):
        import msgspec
        import numpy as np

        from lira_runtime.backends.choose import backend_for
        from lira_runtime.backends.session import SessionSettings
        from lira_runtime.manifest import Graph

        settings = SessionSettings(order.threads, weights=order.weights)  # type: ignore[arg-type]
        backend = backend_for(order.target, settings)  # type: ignore[arg-type]
        graph = msgspec.json.decode(order.graph, type=Graph)
    with phase(LOAD):
        backend.load(graph, Path(order.bundle))
    if order.runs is not None:
        with phase(FIRST_RUN):
            inputs = {tensor.name: np.ones(tensor.shape, tensor.dtype) for tensor in graph.inputs}
            if "input_ids" in inputs:  # all different, as a long prompt's: each brings in a page of a mapped table
                inputs["input_ids"][:] = np.linspace(0, _LAST_TOKEN, inputs["input_ids"].size)
            backend.run(inputs)
        with phase(STEADY_RUN):
            for _ in range(order.runs):
                backend.run(inputs)
    with phase(UNLOAD):
        backend.unload()
        meter.release()


def _pipeline(order: Order) -> None:
    """The mark is left alone: what the kernel says of this process at its end is then the peak of all its life."""
    meter.keep_mark()
    with phase(START, reset=False):
        from lira_runtime.backends.choose import backend_for
        from lira_runtime.backends.kept import KeptGraphs
        from lira_runtime.backends.session import SessionSettings
        from lira_runtime.bundle import Bundle
        from lira_runtime.pipeline import Pipeline, Request, StageFinished, StageStarted

        bundle = Bundle.open(order.bundle, order.hashes)  # type: ignore[arg-type]
        settings = SessionSettings(order.threads, weights=order.weights)  # type: ignore[arg-type]
        make = functools.partial(backend_for, bundle.manifest.target, settings)
        pipeline = Pipeline(bundle, KeptGraphs(make) if order.keep_loaded else make(), order.resolution)
        events = pipeline.generate(Request(order.prompt, steps=order.steps))
    for event in events:
        if isinstance(event, StageStarted):
            begin(event.stage, reset=False)
        elif isinstance(event, StageFinished):
            end(event.stage)


@cli_guard
def main() -> None:
    """Do what the order says."""
    order = Order(**json.loads(sys.argv[1]))
    if order.stage:
        _stage(order)
    else:
        _pipeline(order)


if __name__ == "__main__":
    end_with_parent()
    main()
