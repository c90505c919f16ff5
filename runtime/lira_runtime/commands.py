"""Every command: where it lives, what it is made with, how it is started, and the options that all have.

Nothing but the standard library is imported before a command is: Ctrl-C ends an import well (`interrupts`).
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from inspect import unwrap
from typing import TYPE_CHECKING, Any

from lira_runtime import lacking, streams
from lira_runtime.interrupts import deliver, gentle_interrupts

if TYPE_CHECKING:
    import click

DISTRIBUTION = "lira-toolchain"
_RUNTIME = ("numpy", "onnxruntime", "tokenizers", "pillow")
_MODELS = ("torch", "safetensors", "transformers", "diffusers")
_CONVERTERS = ("onnx", "onnxscript", "coremltools", "litert-torch", "ai-edge-quantizer")


@dataclass(frozen=True)
class Command:
    """module: has `main`. tools: the distributions whose versions tell what it does."""

    module: str
    tools: tuple[str, ...]


COMMANDS: Mapping[str, Command] = {
    "lira-generate": Command("lira_runtime.cli", (*_RUNTIME, "ai-edge-litert")),
    "lira-profile": Command("lira_runtime.memory.profile_cli", (*_RUNTIME, "ai-edge-litert")),
    "lira-verify": Command("lira_runtime.trust.cli", (*_RUNTIME, "ai-edge-litert", "coremltools", "cryptography")),
    "lira-sign": Command("lira_runtime.trust.sign_cli", ("cryptography",)),
    "lira-doctor": Command("lira_runtime.doctor.cli", _RUNTIME),
    "lira-export": Command("lira_export.cli", (*_RUNTIME, "ai-edge-litert", *_MODELS, *_CONVERTERS)),
    "lira-compare": Command("lira_export.compare.cli", (*_RUNTIME, "ai-edge-litert", *_MODELS, "matplotlib")),
    "lira-train": Command("lira.training.cli", (*_MODELS, "accelerate", "tensorboard")),
    "lira-encode": Command("lira.data.encode", (*_MODELS, "fsspec")),
    "lira-eval": Command("lira.evaluation.cli", (*_RUNTIME, *_MODELS)),
}


def version_of(distribution: str) -> str | None:
    """Of what is installed; None where it is not. Imports nothing of it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def version_option(name: str) -> "Callable[[Any], Any]":
    """`--version` of a command: the project's, Python's and its tools'."""
    import click

    def show(context: "click.Context", option: "click.Parameter", asked: bool) -> None:
        if not asked or context.resilient_parsing:
            return
        from lira_runtime import events

        tools = {tool: version_of(tool) for tool in ("python", *COMMANDS[name].tools)} | {"python": _python()}
        version = version_of(DISTRIBUTION) or "not installed"
        if "--json" in sys.argv:
            events.emit(events.Version(command=name, version=version, tools=tools))
        else:
            click.echo("\n".join([f"{name} {version}", *(f"{tool} {known or '-'}" for tool, known in tools.items())]))
        context.exit()

    text = "The version, and those of the tools that are used; - for what is not installed."
    return click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=show, help=text)


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def start(name: str, arguments: Sequence[str] | None = None) -> None:
    """Run a command as its script does, with the process's arguments unless others are given; raises SystemExit."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    streams.prepare()
    try:
        with gentle_interrupts():
            from lira_runtime import events  # noqa: F401  an error is told by it, whatever is not installed
            from lira_runtime.errors import cli_guard

            cli_guard(_run)(given, name)
    except ModuleNotFoundError as error:
        if error.name not in lacking.RUNTIME:
            raise
        lacking.end(error.name, given)
    except KeyboardInterrupt:
        print("error: interrupted.", file=sys.stderr)
        raise SystemExit(130) from None


def _run(arguments: list[str], name: str) -> object:
    main = import_module(COMMANDS[name].module).main
    deliver()
    return unwrap(main)(arguments, standalone_mode=False)  # without its own guard: an error is told once


generate = partial(start, "lira-generate")
profile = partial(start, "lira-profile")
verify = partial(start, "lira-verify")
sign = partial(start, "lira-sign")
doctor = partial(start, "lira-doctor")
export = partial(start, "lira-export")
compare = partial(start, "lira-compare")
train = partial(start, "lira-train")
encode = partial(start, "lira-encode")
evaluate = partial(start, "lira-eval")
