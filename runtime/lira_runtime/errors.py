"""Errors a user can act on, each with the exit code every LiRA command shares.

0 ok, 2 bad input, 3 over budget, 4 parity lost, 5 damaged or untrusted bundle, 130 interrupted.
"""

import errno
import functools
import io
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

import click

P = ParamSpec("P")

EXIT_BAD_INPUT = 2
EXIT_OVER_BUDGET = 3
EXIT_PARITY_LOST = 4
EXIT_DAMAGED_BUNDLE = 5
EXIT_INTERRUPTED = 130

INSTALL_EXTRAS = "this command needs more than the runtime: pip install '.[onnx,train]' -c constraints.txt"
EXIT_CODES_HELP = (
    "Exit codes: 0 ok, 2 bad input, 3 over budget, 4 parity lost, 5 damaged or untrusted bundle, 130 interrupted."
)


class LiRAError(Exception):
    """Base of every error a command reports as one sentence; the message is that sentence."""

    exit_code: int = 1


class BadInput(LiRAError):
    """The request cannot be served as asked: a wrong flag, a missing file, an empty prompt."""

    exit_code = EXIT_BAD_INPUT


class OverBudget(LiRAError):
    """A memory or size budget would be, or was, exceeded."""

    exit_code = EXIT_OVER_BUDGET


class ParityLost(LiRAError):
    """A graph no longer computes what the model computes, within its threshold."""

    exit_code = EXIT_PARITY_LOST


class DamagedBundle(LiRAError):
    """A bundle is incomplete, altered, or not written by LiRA."""

    exit_code = EXIT_DAMAGED_BUNDLE


def os_error_sentence(error: OSError) -> str:
    """Return one plain sentence for an operating-system error, naming the file where it is known."""
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}; nothing was left half written."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"permission denied{where}."
    return f"{error.strerror or error}{where}."


def cli_guard(command: Callable[P, object]) -> Callable[P, None]:
    """Wrap a `main()` so that expected failures end as one sentence on stderr and the shared exit code.

    The wrapped function may be a click command or a plain function; click's own usage errors are
    reported the same way (exit code 2). Always ends by raising SystemExit.
    """

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a file's name may hold what no encoding has
        try:
            if isinstance(command, click.Command):
                kwargs["standalone_mode"] = False
            outcome = command(*args, **kwargs)
            sys.stdout.flush()  # a closed pipe must fail here, not while the interpreter shuts down
            code = outcome if isinstance(outcome, int) else 0
        except LiRAError as error:
            code = _complain(str(error), error.exit_code)
        except ModuleNotFoundError as error:
            if (error.name or "lira").startswith("lira"):  # our own mistake, not a missing extra
                raise
            code = _complain(f"{error.name} is not installed; {INSTALL_EXTRAS}", EXIT_BAD_INPUT)
        except click.ClickException as error:
            code = _complain(error.format_message(), EXIT_BAD_INPUT)
        except (KeyboardInterrupt, click.Abort):
            code = _complain("interrupted.", EXIT_INTERRUPTED)
        except SystemExit as ended:
            if ended.code != 1:
                raise
            code = EXIT_BAD_INPUT  # click's own answer to a reader that went away
        except BrokenPipeError:
            # The reader went away (`| head`): stay silent and keep Python from flushing into the void.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = EXIT_BAD_INPUT
        except MemoryError:
            code = _complain("the machine ran out of memory.", EXIT_OVER_BUDGET)
        except OSError as error:
            code = _complain(os_error_sentence(error), EXIT_BAD_INPUT)
        raise SystemExit(code)

    return guarded


def _complain(sentence: str, code: int) -> int:
    one_line = " ".join(sentence.split())
    print(f"error: {one_line}", file=sys.stderr, flush=True)
    return code
