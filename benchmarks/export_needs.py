"""What an export takes of the host: resident memory of its processes, disk beside its output, and temporary files.

`python benchmarks/export_needs.py --target onnx --config small` runs that export and writes its peaks to
runtime/lira_runtime/data/needs.toml, which `lira-doctor` compares with the machine. Presets that were not measured get
a straight line through the measured ones, by the weights of the pipeline, and `measured = false`.
"""

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec
import psutil

from lira.presets import PRESETS, count_parameters
from lira_export.targets import TARGETS
from lira_runtime.doctor.needs import FILE, Need, read_needs
from lira_runtime.errors import BadInput, cli_guard
from lira_runtime.files import atomic_write
from lira_runtime.manifest import TargetName
from lira_runtime.progress import Progress

GOAL = Path(__file__).parents[1] / "runtime/lira_runtime/data" / FILE
SAMPLE_SECONDS = 0.05
TEXT_PARAMETERS = 123_060_480
"""Of the text encoder that every preset but the demo is exported with, ViT-L/14."""
HEAD = """\
# Written by benchmarks/export_needs.py: bytes that `lira-export` took at its peak, at the preset's usual resolution and
# with the usual recipe. What is not measured is a straight line through tiny and small.
"""


def measure(target: TargetName, config: str, folder: Path) -> Need:
    """Export into `folder`, temporary files too, and watch. Raises BadInput where the export fails."""
    out, temporary = folder / "out", folder / "tmp"
    for each in (out, temporary):
        each.mkdir(parents=True)
    command = [sys.executable, "-m", "lira_export.cli", "--target", target, "--config", config]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    memory = on_disk = in_temporary = 0
    with (folder / "log").open("wb") as log:
        process = psutil.Popen([*command, "--out", str(out / "bundle")], env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            memory = max(memory, _resident(process))
            on_disk, in_temporary = max(on_disk, _bytes(out)), max(in_temporary, _bytes(temporary))
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        said = (folder / "log").read_text(errors="replace").splitlines()
        raise BadInput(f"the export of {config} to {target} failed: {said[-1] if said else process.returncode}")
    return Need(memory=memory, disk=on_disk, temporary=in_temporary, measured=True)


def _resident(process: psutil.Popen) -> int:
    """Bytes of a process and all that it started."""
    total = 0
    try:
        for each in [process, *process.children(recursive=True)]:
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def _bytes(folder: Path) -> int:
    """Of the files below a folder; each inode once, for kept components are hard links."""
    seen: dict[int, int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(os.path.join(place, name))
            except FileNotFoundError:
                continue
            seen[found.st_ino] = found.st_blocks * 512
    return sum(seen.values())


def estimated(needs: Mapping[str, Need]) -> dict[str, Need]:
    """One target's presets: those that were measured, and a line through tiny and small for the larger others."""
    found = {name: need for name, need in needs.items() if need.measured}
    if not {"tiny", "small"} <= found.keys():
        return found
    low, high = (count_parameters(name) + TEXT_PARAMETERS for name in ("tiny", "small"))
    for name in PRESETS:
        if name not in found:
            share = (count_parameters(name) + TEXT_PARAMETERS - low) / (high - low)
            found[name] = _between(found["tiny"], found["small"], share)
    return {name: found[name] for name in PRESETS if name in found}


def _between(low: Need, high: Need, share: float) -> Need:
    """`low` at a share of 0, `high` at 1; never less than `high` for a larger preset."""
    values = {
        name: max(round(getattr(low, name) + share * (getattr(high, name) - getattr(low, name))), getattr(high, name))
        for name in ("memory", "disk", "temporary")
    }
    return Need(**values, measured=False)


def write(needs: Mapping[str, Mapping[str, Need]], goal: Path) -> None:
    """The file, whole or not at all."""
    tables = []
    for target, presets in needs.items():
        for name, need in presets.items():
            fields = "\n".join(f"{key} = {str(value).lower()}" for key, value in msgspec.to_builtins(need).items())
            tables.append(f"[{target}.{name}]\n{fields}\n")
    with atomic_write(goal) as part:
        part.write_text("\n".join([HEAD, *tables]))


@click.command()
@click.option("--target", "targets", type=click.Choice(TARGETS), multiple=True, default=TARGETS)
@click.option("--config", "configs", type=click.Choice(list(PRESETS)), multiple=True, default=("nano", "tiny", "small"))
@click.option("--out", type=click.Path(path_type=Path), default=GOAL, show_default=True)
def command(targets: Sequence[TargetName], configs: Sequence[str], out: Path) -> None:
    """Measure exports and write what they took; what is not named stays as the file has it."""
    found = {target: dict(presets) for target, presets in read_needs(out).items()} if out.exists() else {}
    with Progress(len(targets) * len(configs), "exports") as progress:
        for target in targets:
            for config in configs:
                with tempfile.TemporaryDirectory(prefix="lira-needs-") as folder:
                    need = measure(target, config, Path(folder))
                found[target] = estimated({**found.get(target, {}), config: need})
                write(found, out)
                progress.advance(note=f"{target} {config}: {need.memory / 1e9:.1f} GB")


main = cli_guard(command)

if __name__ == "__main__":
    main()
