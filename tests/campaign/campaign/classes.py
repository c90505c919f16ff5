"""The classes, and one of them run in this process: `python -m campaign.classes ORDER`, an `Order` as JSON."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import msgspec

from campaign.plants import PLANTS
from campaign.tally import Tally


@dataclass(frozen=True)
class Class:
    """module.function that runs it, and how many cases it has at scale 1, and at the least; of a fuzzer, seconds."""

    function: str
    count: int
    least: int
    reader: str = ""


CLASSES: Mapping[str, Class] = {
    "faults": Class("faults.at_every_write", 5000, 6),
    "forged": Class("files.forged", 5000, 32),
    "damaged": Class("files.damaged", 5000, 20),
    "kills": Class("kills.killed", 300, 3),
    "fuzz-manifest": Class("fuzz.fuzz", 600, 5, "manifest"),
    "fuzz-safetensors": Class("fuzz.fuzz", 600, 5, "safetensors"),
    "fuzz-picture": Class("fuzz.fuzz", 600, 5, "picture"),
    "checkpoints": Class("weights.checkpoints", 1000, 7),
    "generations": Class("generations.generations", 1000, 20),
    "circumstances": Class("circumstances.circumstances", 112, 14),
    "bits": Class("bits.flipped", 2000, 13),
    "interrupts": Class("kills.interrupted", 60, 2),
    "prompts": Class("prompts.prompts", 5000, 110),
    "nano": Class("nano.killed", 4, 1),
}
"""The longest first."""


class Order(msgspec.Struct):
    """name: the class. case: the only one to try. plant: plant its fault first. goal: where its row goes."""

    name: str
    count: int
    seed: int
    goal: str
    case: int | None = None
    plant: bool = False


def main() -> None:
    """Run the class that the order names."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    wanted = CLASSES[order.name]
    if order.plant:
        PLANTS[order.name]()
    module, name = wanted.function.split(".")
    function = getattr(import_module(f"campaign.{module}"), name)
    row: Tally = function(order.count, order.seed, wanted.reader or order.case)
    Path(order.goal).write_bytes(msgspec.json.encode(row))


if __name__ == "__main__":
    main()
