"""Errors a user can act on, each with the exit code every LiRA command shares.

0 ok, 2 bad input, 3 over budget, 4 parity lost, 5 damaged or untrusted bundle, 130 interrupted.
"""

import contextlib
import errno
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import ClassVar, ParamSpec

import click

from lira_runtime import lacking, streams
from lira_runtime.codes import Code
from lira_runtime.interrupts import gentle_interrupts
from lira_runtime.say import printable, say

P = ParamSpec("P")

EXIT_INTERNAL = 1
EXIT_BAD_INPUT = 2
EXIT_OVER_BUDGET = 3
EXIT_PARITY_LOST = 4
EXIT_DAMAGED_BUNDLE = 5
EXIT_INTERRUPTED = 130

EXIT_CODES_HELP = (
    "Exit codes: 0 ok, 2 bad input, 3 over budget, 4 parity lost, 5 damaged or untrusted bundle, 130 interrupted."
)


class LiRAError(Exception):
    """Base of every error a command reports as one sentence; the message is that sentence.

    code: for programs, where another than the class's says more.
    """

    exit_code: int = EXIT_INTERNAL
    usual_code: ClassVar[Code] = "internal"

    def __init__(self, sentence: str, code: Code | None = None) -> None:
        super().__init__(sentence)
        self.code: Code = code or self.usual_code


class BadInput(LiRAError):
    """The request cannot be served as asked: a wrong flag, a missing file, an empty prompt."""

    exit_code = EXIT_BAD_INPUT
    usual_code = "bad_input"


class OverBudget(LiRAError):
    """A memory or size budget would be, or was, exceeded."""

    exit_code = EXIT_OVER_BUDGET
    usual_code = "over_budget"


class ParityLost(LiRAError):
    """A graph no longer computes what the model computes, within its threshold."""

    exit_code = EXIT_PARITY_LOST
    usual_code = "parity_lost"


class DamagedBundle(LiRAError):
    """A bundle is incomplete, altered, or not written by LiRA."""

    exit_code = EXIT_DAMAGED_BUNDLE
    usual_code = "damaged"


def os_error_sentence(error: OSError) -> str:
    """Return one plain sentence for an operating-system error, naming the file where it is known."""
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
    if _os_error_code(error) == "disk_full":
        return f"the disk is full{where}; nothing was left half written."
    if _os_error_code(error) == "not_writable":
        return f"permission denied{where}."
    return f"{error.strerror or error}{where}."


def _os_error_code(error: OSError) -> Code:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk_full"
    return "not_writable" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else "io_error"


def cli_guard(command: Callable[P, object]) -> Callable[P, None]:
    """Wrap a `main()` so that expected failures end as one sentence on stderr and the shared exit code.

    With --json on the command line they are an event on stdout too. The wrapped function may be a click command or a
    plain function; click's own usage errors are reported the same way (exit code 2). Ctrl-C and SIGTERM interrupt it,
    but no import. Always ends by raising SystemExit.
    """

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        streams.prepare()
        given = args[0] if args and isinstance(args[0], list | tuple) else sys.argv[1:]
        complain = functools.partial(_complain, _asks_for_json(given))
        try:
            with gentle_interrupts():
                if isinstance(command, click.Command):
                    kwargs["standalone_mode"] = False
                outcome = command(*args, **kwargs)
                sys.stdout.flush()  # a closed pipe must fail here, not while the interpreter shuts down
            code = outcome if isinstance(outcome, int) else 0
        except LiRAError as error:
            code = complain(str(error), error.code, error.exit_code)
        except ModuleNotFoundError as error:
            if (error.name or "lira").startswith("lira"):  # our own mistake, not a missing extra
                complain(str(error), "internal", EXIT_INTERNAL, quietly=True)
                raise
            code = complain(lacking.sentence(error.name or ""), "not_installed", EXIT_BAD_INPUT)
        except click.ClickException as error:
            code = complain(error.format_message(), "usage", EXIT_BAD_INPUT)
        except (KeyboardInterrupt, click.Abort):
            code = complain("interrupted.", "interrupted", EXIT_INTERRUPTED)
        except SystemExit as ended:
            if ended.code != 1:
                raise
            code = EXIT_BAD_INPUT  # click's own answer to a reader that went away
        except BrokenPipeError:
            # The reader went away (`| head`): stay silent and keep Python from flushing into the void.
            streams.drop_stdout()
            code = EXIT_BAD_INPUT
        except MemoryError:
            code = complain("the machine ran out of memory.", "out_of_memory", EXIT_OVER_BUDGET)
        except OSError as error:
            code = complain(os_error_sentence(error), _os_error_code(error), EXIT_BAD_INPUT)
        except Exception as error:
            complain(f"{type(error).__name__}: {error}", "internal", EXIT_INTERNAL, quietly=True)
            raise
        raise SystemExit(code)

    return guarded


def _asks_for_json(arguments: Sequence[object]) -> bool:
    """Whether --json is among the options; click may not have come as far as to read it."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _complain(as_json: bool, sentence: str, code: Code, exit_code: int, quietly: bool = False) -> int:
    """Say what went wrong, on stderr unless `quietly`; returns the exit code."""
    line = printable(f"error: {' '.join(sentence.split())}")  # once: programs are told what people are
    if as_json:
        from lira_runtime import events

        with contextlib.suppress(OSError):  # a reader that went away
            events.emit(events.Error(code=code, exit_code=exit_code, message=line.removeprefix("error: ")))
    if not quietly:
        say(line, err=True)
    return exit_code
