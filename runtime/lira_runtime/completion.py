"""What a shell completes on a command line: folders that are or hold bundles, and names that an option knows.

`lira-doctor --completion SHELL` prints the script that asks for it, for every command.
"""

import functools
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from lira_runtime.commands import COMMANDS

SHELLS = ("bash", "zsh", "fish")
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_bundle(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A bundle is a folder: the shell lists those there are."""
    return [CompletionItem(incomplete, type="dir")]


def complete_names(names: Callable[[], Iterable[str]]) -> Complete:
    """Of an option whose value is checked by what it names; `names` is asked when a shell does."""

    @functools.wraps(names)
    def complete(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]

    return complete


def script(shell: str) -> str:
    """The script of a shell for all commands; to be evaluated in its start-up file."""
    kind = get_completion_class(shell)
    assert kind is not None, "one of SHELLS"
    return "\n".join(_source(kind, name) for name in COMMANDS)


def _source(kind: type[click.shell_completion.ShellComplete], name: str) -> str:
    variable = f"_{name}_COMPLETE".replace("-", "_").upper()
    maker = kind(click.Command(name), {}, name, variable)
    return maker.source_template % maker.source_vars()
