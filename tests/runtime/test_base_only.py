"""The runtime must import with its base dependencies alone; this file runs in a bare environment too."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from lira_runtime import lacking

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "runtime" / "lira_runtime"
IMPORT_NAMES = {"pillow": "PIL"}
OPTIONAL = {
    Path("backends", "tflite.py"): "ai_edge_litert",
    Path("memory", "plot.py"): "matplotlib",
    Path("trust", "signature.py"): "cryptography",
}
"""Modules that need one package more, which an extra brings."""

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        package = name.split(".")[0]
        if package in {"torch", "transformers", "onnx", "onnxscript", "lira", "lira_export", "safetensors"}:
            raise ImportError(f"{name} is no dependency of the runtime")
        if package in {"ai_edge_litert", "matplotlib", "cryptography"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
import lira_runtime
names = [m.name for m in pkgutil.walk_packages(lira_runtime.__path__, "lira_runtime.")]
lacking = []
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        lacking.append((name, error.name.split(".")[0]))
print(len(names), lacking)
"""


def _third_party_imports(paths: Iterable[Path]) -> set[str]:
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"lira_runtime"}


def _base_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^A-Za-z0-9_-]", line)[0] for line in project["dependencies"]}
    return {IMPORT_NAMES.get(name, name) for name in names}


def test_every_module_imports_without_torch_onnx_or_our_other_packages() -> None:
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING], cwd=RUNTIME.parent, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    modules = len([path for path in RUNTIME.rglob("*.py") if path != RUNTIME / "__init__.py"])
    names = {path: "lira_runtime." + ".".join(path.with_suffix("").parts) for path in OPTIONAL}
    lacking = [(names[path], package) for path, package in OPTIONAL.items()]
    assert result.stdout.split(" ", 1) == [str(modules), f"{lacking}\n"]


def test_the_base_dependencies_are_exactly_what_the_runtime_imports() -> None:
    plain = [path for path in RUNTIME.rglob("*.py") if path.relative_to(RUNTIME) not in OPTIONAL]
    assert _third_party_imports(plain) == _base_dependencies()
    assert _base_dependencies() == lacking.RUNTIME
    for path, package in OPTIONAL.items():
        assert _third_party_imports([RUNTIME / path]) - _base_dependencies() == {package}
