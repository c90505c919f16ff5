"""What all commands have: a version that is quickly there, and completion in a real shell."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from event_lines import read_events

from lira_runtime import commands
from lira_runtime.commands import COMMANDS

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(map(str, (ROOT, ROOT / "export", ROOT / "runtime")))
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATHS}
SCRIPT = "#!{python}\nimport sys\nfrom lira_runtime.commands import start\nstart({name!r})\n"
HEAVY = {"torch", "transformers", "coremltools", "litert_torch", "ai_edge_litert", "onnx"}
IMPORTED = """
import sys
from lira_runtime.commands import start
try:
    start({name!r}, ["--version"])
finally:
    print(sorted(sys.modules.keys() & {heavy!r}))
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PATH on which the commands are."""
    folder = tmp_path_factory.mktemp("bin")
    for name in COMMANDS:
        (folder / name).write_text(SCRIPT.format(python=sys.executable, name=name))
        (folder / name).chmod(0o755)
    yield f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_every_script_of_the_project_is_a_command_that_can_be_started() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(scripts) == set(COMMANDS)
    for name, place in scripts.items():
        module, _, function = place.partition(":")
        assert module == commands.__name__ and getattr(commands, function).args == (name,)
        assert callable(import_module(COMMANDS[name].module).main)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_version_tells_the_tools_and_imports_none_of_them(name: str) -> None:
    code = IMPORTED.format(name=name, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0 and not done.stderr, done.stderr
    first, *tools, imported = done.stdout.splitlines()
    assert first == f"{name} {version('lira-toolchain')}" and imported == "[]"
    found = dict(line.split(" ") for line in tools)
    assert found.pop("python") == ".".join(map(str, sys.version_info[:3]))
    assert found == {tool: version(tool) for tool in COMMANDS[name].tools}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_fault_of_this_project_is_told_once(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(click.Command, "make_context", fail)
    with pytest.raises(ZeroDivisionError):
        commands.start(name, ["--json"])
    (told,) = read_events(capsys.readouterr().out)
    assert (told["code"], told["message"]) == ("internal", "ZeroDivisionError: by nothing")


@pytest.mark.parametrize("package", ["click", "msgspec", "packaging"])
def test_a_package_of_the_runtime_that_is_missing_is_named_with_what_installs_it(package: str) -> None:
    """Also where a command speaks with it."""
    blocked = f"import sys; sys.modules[{package!r}] = None\n"  # an import of it raises ModuleNotFoundError
    for flags in ([], ["--json"]):
        code = f"{blocked}from lira_runtime.commands import start\nstart('lira-doctor', {flags!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
        sentence = f"{package} is not installed, which the runtime needs: pip install . -c constraints.txt"
        assert (done.returncode, done.stderr) == (2, f"error: {sentence}\n")
        if flags:
            (told,) = read_events(done.stdout)
            assert (told["event"], told["code"], told["message"]) == ("error", "not_installed", sentence)
        else:
            assert not done.stdout


@pytest.mark.parametrize("flags", [["--version", "--json"], ["--json", "--version"]])
@pytest.mark.parametrize(
    ("name", "tool"), [("lira-sign", "cryptography"), ("lira-eval", "torch"), ("lira-train", "torch")]
)
def test_a_version_is_an_event_too(name: str, tool: str, flags: list[str], path: str) -> None:
    done = subprocess.run([name, *flags], capture_output=True, text=True, env={**ENVIRONMENT, "PATH": path})
    (told,) = read_events(done.stdout)
    assert told["command"] == name and told["tools"][tool] == version(tool) and not done.returncode


def complete(path: str, folder: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words, by the script that `lira-doctor --completion bash` prints."""
    bash = shutil.which("bash")
    assert bash, "bash is what this is about"
    name = words[0].replace("-", "_")
    listed = " ".join(f"'{word}'" for word in words)
    code = (
        'eval "$(lira-doctor --completion bash)"\n'
        f"COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}\n"
        f"_{name}_completion {words[0]}\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    command = [bash, "--norc", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env={**ENVIRONMENT, "PATH": path}, timeout=60
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("lira-generate", "--guid"), ["--guidance"]),
        (("lira-export", "--config", "s"), ["small"]),
        (("lira-export", "--config", "small", "--recipe", "int8"), ["int8", "int8-dynamic"]),
        (("lira-export", "--target", "t"), ["tflite"]),
        (("lira-train", "denoiser", "--recipe", "fu"), ["full"]),
        (("lira-train", "den"), ["denoiser"]),
        (("lira-doctor", "--config", "t"), ["tiny"]),
        (("lira-verify", "--require"), ["--require-signature"]),
    ],
)
def test_bash_completes_options_and_names(
    words: tuple[str, ...], offered: list[str], path: str, tmp_path: Path
) -> None:
    assert complete(path, tmp_path, *words) == offered


def test_bash_is_told_to_complete_folders_where_a_bundle_is_asked_for(path: str, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    name = "_LIRA_GENERATE_COMPLETE"
    environment = {
        **ENVIRONMENT,
        "PATH": path,
        name: "bash_complete",
        "COMP_WORDS": "lira-generate bu",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(["lira-generate"], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout == "dir,bu\n"  # click's script hands this to bash's own completion of folders


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_every_shell_is_for_every_command(shell: str, path: str) -> None:
    command = ["lira-doctor", "--completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, "PATH": path})
    assert done.returncode == 0 and not done.stderr
    assert all(
        f"_{name}_COMPLETE={shell}_complete".replace("-", "_").upper() in done.stdout.upper() for name in COMMANDS
    )
