"""The campaign: every class in processes of its own, two at a time, and one table at the end.

`python -m campaign [--seed N] [--scale 0.01] [--only CLASS ...] [--count N] [--case N]`; `make campaign` runs it whole.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec

from campaign.classes import CLASSES, Order
from campaign.exports import READY
from campaign.faults import build_shim
from campaign.tally import Table, Tally

ROOT = Path(__file__).parents[3]
PATHS = (".", "export", "runtime", "tests/runtime", "tests/export", "tests/campaign")
SHORT = [name for name in CLASSES if not name.startswith(("fuzz", "nano", "interrupts"))]
"""Of `make test`: fuzzing needs atheris, nano its minutes, and the circumstances have interrupts too."""
EXPORTING = {"faults", "kills", "interrupts", "circumstances"}


@click.command()
@click.option("--seed", type=click.IntRange(0), default=lambda: int.from_bytes(os.urandom(4)), help="Of all chance.")
@click.option("--scale", type=float, default=1.0, show_default=True, help="Share of the cases that are tried.")
@click.option("--short", is_flag=True, help="Few cases of every class, but for fuzzing and nano.")
@click.option("--only", multiple=True, type=click.Choice([*CLASSES]), help="This class alone; repeatable.")
@click.option("--count", type=click.IntRange(1), help="Cases of every class, in place of its own number and --scale.")
@click.option("--case", type=click.IntRange(0), help="This case alone, of --only.")
@click.option("--plant", is_flag=True, help="Plant a fault into the product for each class, which must find it.")
def main(
    seed: int, scale: float, short: bool, only: Sequence[str], count: int | None, case: int | None, plant: bool
) -> None:
    """Try what should not go wrong, thousands of times. Exit code 1 where anything did."""
    names, scale = list(only) or (SHORT if short else [*CLASSES]), 0.0 if short else scale
    print(f"seed {seed}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder, ExitStack() as stack:
        workers = stack.enter_context(ThreadPoolExecutor(2))
        orders = []
        for name in names:
            wanted = count or max(CLASSES[name].least, round(CLASSES[name].count * scale))
            orders.append(Order(name, wanted, seed, f"{folder}/{name}", case, plant))
        if EXPORTING & set(names):
            _run([sys.executable, "-m", "campaign.exports", folder], folder)
        rows = list(workers.map(lambda order: _row(order, folder), orders))
    table = Table(seed, scale, rows)
    print("\n".join(table.lines()))
    sys.exit(0 if table.clean else 1)


def _row(order: Order, folder: str) -> Tally:
    """Run a class in a process of its own."""
    begun = time.monotonic()
    try:
        extra = build_shim(Path(folder)) if order.name == "faults" else {}
        _run([sys.executable, "-m", "campaign.classes", msgspec.json.encode(order).decode()], folder, extra)
        row = msgspec.json.decode(Path(order.goal).read_bytes(), type=Tally)
    except Exception as error:  # the other classes go on
        row = Tally(order.name)
        row.blame(f"the class itself failed: {error}")
    row.seconds = time.monotonic() - begun
    print(f"{row.name}: {row.tried} in {row.seconds:.0f} s, {len(row.faults)} faults", file=sys.stderr, flush=True)
    return row


def _run(command: Sequence[str], folder: str, extra: dict[str, str] | None = None) -> None:
    """With this checkout's code, one thread a library, and the bundle of the smallest model."""
    before = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    paths = os.pathsep.join([*(str(ROOT / path) for path in PATHS), *before])
    own = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", READY: folder}
    subprocess.run(command, env={**os.environ, **own, **(extra or {})}, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
