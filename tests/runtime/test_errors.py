import contextlib
import errno
import io
import re
import tomllib
from pathlib import Path

import click
import pytest
from event_lines import read_events

from lira_runtime.errors import BadInput, DamagedBundle, LiRAError, OverBudget, ParityLost, cli_guard

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        (BadInput("a"), 2, "bad_input"),
        (OverBudget("a"), 3, "over_budget"),
        (ParityLost("a"), 4, "parity_lost"),
        (DamagedBundle("a"), 5, "damaged"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 3, "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device", "x.png"), 2, "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "x.png"), 2, "disk_full"),
        (PermissionError(errno.EACCES, "Permission denied", "x.png"), 2, "not_writable"),
        (PermissionError(errno.EPERM, "Operation not permitted", "x.png"), 2, "not_writable"),
        (OSError(errno.EROFS, "Read-only file system", "x.png"), 2, "not_writable"),
        (OSError(errno.EIO, "Input/output error", "x.png"), 2, "io_error"),
    ],
)
def test_each_expected_failure_is_one_line_its_exit_code_and_its_code_for_programs(
    error: BaseException, exit_code: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(arguments: list[str]) -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        cli_guard(command)(["--json"])
    captured = capsys.readouterr()
    assert stop.value.code == exit_code
    assert captured.err.count("\n") == 1
    (told,) = read_events(captured.out)
    assert (told["code"], told["exit_code"]) == (code, exit_code)
    with pytest.raises(SystemExit):
        cli_guard(command)(["--", "--json"])
    assert capsys.readouterr() == ("", captured.err), "after -- it is no option"


def test_a_full_disk_is_named_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "apple.png")

    with pytest.raises(SystemExit):
        cli_guard(command)()
    stderr = capsys.readouterr().err
    assert "disk is full" in stderr
    assert "apple.png" in stderr


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise BadInput("one\ntwo")

    with pytest.raises(SystemExit):
        cli_guard(command)()
    assert capsys.readouterr().err == "error: one two\n"


def test_a_package_that_is_not_installed_is_named_with_the_extras_that_bring_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @cli_guard
    @click.command()
    def command() -> None:
        import no_such_package_of_lira  # noqa: F401

    with pytest.raises(SystemExit) as stop:
        command([])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: no_such_package_of_lira is not installed")
    assert captured.err.count("\n") == 1
    (extras,) = re.findall(r"pip install '\.\[([a-z,]+)\]'", captured.err)
    offered = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(offered)


def test_a_programming_error_is_not_hidden() -> None:
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli_guard(command)()


def test_a_programming_error_is_told_to_programs_and_left_to_python(capsys: pytest.CaptureFixture[str]) -> None:
    def command(arguments: list[str]) -> None:
        raise ZeroDivisionError("by nothing")

    with pytest.raises(ZeroDivisionError):
        cli_guard(command)(["--json"])
    captured = capsys.readouterr()
    (told,) = read_events(captured.out)
    assert (told["code"], told["exit_code"], told["message"]) == ("internal", 1, "ZeroDivisionError: by nothing")
    assert captured.err == "", "its traceback says it there"


def test_a_click_usage_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    @cli_guard
    @click.command()
    @click.option("--steps", type=int)
    def command(steps: int) -> None:
        raise LiRAError(f"must not run with {steps}")

    with pytest.raises(SystemExit) as stop:
        command(["--steps", "many"])
    assert stop.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1


def test_a_reader_that_went_away_is_exit_code_2_and_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    """click has an answer of its own to that, which is no code of ours."""

    @cli_guard
    @click.command()
    def command() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(SystemExit) as stop:
        command([])
    assert stop.value.code == 2 and capsys.readouterr() == ("", "")


def test_a_name_that_no_encoding_has_is_printed_escaped() -> None:
    """As a shell gives one, and in a terminal that knows ASCII alone."""
    for encoding, wanted in (("utf-8", b"\\udcff.png \xc3\xa9\n"), ("ascii", b"\\udcff.png \\xe9\n")):
        written = io.BytesIO()
        stdout = io.TextIOWrapper(written, encoding)
        with contextlib.redirect_stdout(stdout), pytest.raises(SystemExit) as stop:
            cli_guard(lambda: print("\udcff.png é"))()
        assert stop.value.code == 0 and written.getvalue() == wanted


def test_success_exits_with_0() -> None:
    with pytest.raises(SystemExit) as stop:
        cli_guard(lambda: None)()
    assert stop.value.code == 0
