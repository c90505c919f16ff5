"""`lira-doctor`: can this machine do what is asked of it, and what to type where it cannot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import click

from lira_runtime import completion, events
from lira_runtime.commands import version_option
from lira_runtime.doctor.disk import check_disk
from lira_runtime.doctor.export import ALL, Export, need_of, usual_place
from lira_runtime.doctor.finding import Finding
from lira_runtime.doctor.host import check_cache, check_memory, check_processor
from lira_runtime.doctor.needs import known_presets
from lira_runtime.doctor.packages import check_environment
from lira_runtime.errors import EXIT_CODES_HELP, BadInput, cli_guard
from lira_runtime.say import escaped

TARGETS = ("onnx", "coreml", "tflite")
CHOICE = click.Choice((*TARGETS, ALL))


class Found(events.Event, Finding, frozen=True, kw_only=True, tag="finding"):
    """What was looked at, and the command that mends it."""


class Examined(events.Result, frozen=True, kw_only=True, tag="result"):
    """How many findings stand in the way, and how many are worth knowing."""

    command: Literal["lira-doctor"] = "lira-doctor"
    problems: int
    notices: int


@cli_guard
@click.command(epilog=EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--target", type=CHOICE, help="Can this be exported to?")
@click.option(
    "--config",
    shell_complete=completion.complete_names(known_presets),
    help="Preset of that export: nano, tiny, small, base or large.  [default: small]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where that export would write.  [default: build/CONFIG-TARGET]"
)
@click.option("--completion", "shell", type=click.Choice(completion.SHELLS), help="Print a shell's completion script.")
@click.option("--json", "as_json", is_flag=True, help=events.JSON_HELP)
@version_option("lira-doctor")
def main(target: str | None, config: str | None, out: Path | None, shell: str | None, as_json: bool) -> None:
    """Look at Python, packages, processor, memory, disk and cache; every finding comes with what mends it.

    With --target, at what that export needs; without, at all extras.
    """
    if shell is not None:
        click.echo(completion.script(shell))
        return
    export = _asked(target, config, out)
    found = []
    for finding in _findings(target, export):
        found.append(finding)
        if as_json:
            events.emit(Found(check=finding.check, level=finding.level, said=finding.said, mend=finding.mend))
        else:
            click.echo("\n".join(map(escaped, finding.lines())))  # whole: half a command is none to paste
    problems, notices = (sum(each.level == level for each in found) for level in ("problem", "notice"))
    if as_json:
        events.emit(Examined(problems=problems, notices=notices))
    if problems:
        mended = sum(each.level == "problem" and each.mend is not None for each in found)
        mends = "each has" if mended == problems else f"{mended} of them have"
        raise BadInput(f"{problems} of these findings stand in the way; {mends} a command that mends it.", "not_ready")


def _asked(target: str | None, config: str | None, out: Path | None) -> Export | None:
    if target is None:
        if config is not None or out is not None:
            raise BadInput("--config and --out are of an export; name its --target.", "usage")
        return None
    name = config or "small"
    targets = TARGETS if target == ALL else (target,)
    need = need_of(targets, name)
    if need is None:
        raise BadInput(f"Unknown config '{name}'; choose one of: {', '.join(known_presets())}.")
    return Export(target, targets, name, out or usual_place(target, name), need)


def _findings(target: str | None, export: Export | None) -> Iterator[Finding]:
    yield from check_environment(export.targets if export else ())
    yield check_processor(export)
    if export is not None:
        yield check_memory(export)
        yield from check_disk(export)
    yield check_cache()


if __name__ == "__main__":
    main()
