"""What commands say to people is harmless to a terminal and has an end, whoever wrote it."""

import contextlib
from pathlib import Path

import click
import msgspec
import pytest
from event_lines import read_events
from forgery import rewrite

from lira_runtime.errors import BadInput, cli_guard
from lira_runtime.manifest import Manifest
from lira_runtime.progress import Progress
from lira_runtime.say import MOST_CHARACTERS, printable, say
from lira_runtime.trust import cli

HOSTILE = "\x1b[2J\u202eevil\nline\r" + "z" * 5000
SHOWN = "\\x1b[2J\\u202eevil"


def is_harmless(text: str) -> bool:
    return all(each.isprintable() for each in text.removesuffix("\n")) and len(text) <= MOST_CHARACTERS + 1


def test_text_is_escaped_and_what_is_long_loses_its_middle() -> None:
    assert printable("näme 苹果 🍎") == "näme 苹果 🍎"
    assert printable("a\tb\x7f\udcff\u2028") == "a\\tb\\x7f\\udcff\\u2028"
    exact = "x" * MOST_CHARACTERS
    assert printable(exact) == exact
    cut = printable(f"begin{'x' * MOST_CHARACTERS}end")
    assert len(cut) <= MOST_CHARACTERS and cut.startswith("begin") and cut.endswith("end") and " ... " in cut
    assert len(printable("\x1b" * 10**6)) <= MOST_CHARACTERS


def test_an_error_is_harmless_on_stderr_and_bounded_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    def command(arguments: list[str]) -> None:
        raise BadInput(f"the checkpoint holds {HOSTILE}, which is no tensor.")

    with pytest.raises(SystemExit):
        cli_guard(command)(["--json"])
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: the checkpoint holds {SHOWN}") and is_harmless(captured.err[7:])
    assert captured.err.endswith("which is no tensor.\n")
    message = read_events(captured.out)[0]["message"]
    assert len(message) <= MOST_CHARACTERS and captured.err == f"error: {message}\n"


def test_a_usage_error_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    @cli_guard
    @click.command()
    def command() -> None:
        """Takes nothing."""

    with pytest.raises(SystemExit):
        command([f"--{HOSTILE}"])
    assert is_harmless(capsys.readouterr().err[7:])


def test_lines_stay_lines_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    say(["one", HOSTILE])
    say(HOSTILE, err=True)
    captured = capsys.readouterr()
    first, second = captured.out.splitlines()
    assert first == "one" and second.startswith(f"{SHOWN}\\nline\\rzz") and is_harmless(second)
    assert captured.err == f"{second}\n"


def test_progress_and_warnings_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1, HOSTILE) as progress:
        progress.update(1, HOSTILE)
        progress.warn(HOSTILE)
    counted, warning = capsys.readouterr().err.split("\n")[:-1]
    assert counted.startswith(SHOWN) and warning.startswith(f"warning: {SHOWN}")
    assert (counted + warning).isprintable()


def test_a_manifest_and_a_folders_name_say_nothing_to_the_terminal(
    toy_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def hostile(manifest: Manifest) -> Manifest:
        first, *others = manifest.components
        graph = msgspec.structs.replace(first.graphs[0], entry=HOSTILE)
        graphs = (graph, *first.graphs[1:])
        return msgspec.structs.replace(manifest, components=(msgspec.structs.replace(first, graphs=graphs), *others))

    rewrite(toy_bundle, hostile)
    named = toy_bundle.rename(toy_bundle.with_name("\x1b[2Jfolder"))
    with contextlib.suppress(SystemExit):
        cli.main([str(named)])
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert any(SHOWN in line for line in lines) and all(map(is_harmless, lines))
    assert lines[-1].startswith(f"{toy_bundle.parent}/\\x1b[2Jfolder: ")
