"""Whether an export can write its output, and has room for it and for its temporary files."""

import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lira_runtime.cache import packed_entries
from lira_runtime.doctor import machine
from lira_runtime.doctor.export import Export, gigabytes
from lira_runtime.doctor.finding import Finding

TEMPORARY = Path("/var/tmp")


def check_disk(export: Export) -> Iterator[Finding]:
    """One finding of the output's disk, one more of that of temporary files where it is another and lacks room."""
    if fault := machine.writable_fault(export.out):
        place = _place_for_output(export.need.disk)
        mend = None if place is None else export.command(_within(place, export))
        yield Finding(check="output", level="problem", said=fault.removesuffix("."), mend=mend)
        return
    temporary = Path(tempfile.gettempdir())
    together = machine.same_disk(export.out, temporary)
    yield _room_for_output(export, temporary if together else None)
    free, needed = machine.free_bytes(temporary), export.need.temporary
    if not together and needed > free:
        said = f"{gigabytes(needed)} of temporary files are needed, {gigabytes(free)} are free in {temporary}"
        yield Finding(check="disk", level="problem", said=said, mend=_other_temporary(needed))


def _room_for_output(export: Export, temporary: Path | None) -> Finding:
    """temporary: the folder for temporary files where it is on the same disk."""
    needed = export.need.disk + (0 if temporary is None else export.need.temporary)
    free = machine.free_bytes(export.out)
    room = f"{gigabytes(free)} are free at {machine.existing(export.out)}"
    said = f"{export.needs(needed)}, {room}"
    if free >= needed:
        return Finding(check="disk", said=said)
    return Finding(check="disk", level="problem", said=said, mend=_more_room(export, needed, free, temporary))


def _more_room(export: Export, needed: int, free: int, temporary: Path | None) -> str:
    """What costs least: what can be made again goes, temporary files go elsewhere, the output goes elsewhere."""
    leftovers = _leftovers(export)
    if leftovers and free + sum(map(_size, leftovers)) >= needed:
        return shlex.join(["rm", "-r", "--", *map(str, leftovers)])
    if temporary is not None and free >= export.need.disk and (mend := _other_temporary(export.need.temporary)):
        return mend
    place = _place_for_output(needed)
    if place is None:
        return shlex.join(["du", "-xh", "--max-depth=2", str(machine.existing(export.out))]) + " | sort -h | tail"
    before = f"TMPDIR={shlex.quote(str(place))} " if temporary is not None and free < export.need.temporary else ""
    return before + export.command(_within(place, export))


def _other_temporary(needed: int) -> str | None:
    place = machine.roomiest(needed, [TEMPORARY, Path.home()])
    return None if place is None else f"export TMPDIR={shlex.quote(str(place))}"


def _place_for_output(needed: int) -> Path | None:
    return machine.roomiest(needed, [Path.home(), Path.cwd(), TEMPORARY])


def _within(place: Path, export: Export) -> Path:
    return place / "lira" / (export.out.name if len(export.targets) == 1 else "")


def _leftovers(export: Export) -> list[Path]:
    """What exports that did not succeed have kept beside the output, and packed weights, which are made again."""
    beside = machine.existing(export.out.parent if len(export.targets) == 1 else export.out)
    folders = [path for path in sorted(beside.glob(".lira-*.kept")) if path.is_dir() and not path.is_symlink()]
    kept = [path for path in folders if not machine.is_locked(path.with_suffix(".lock"))]
    try:
        packed = packed_entries()
    except RuntimeError:
        return kept
    return [*kept, *(entry for entry in packed if machine.same_disk(entry, export.out))]


def _size(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
