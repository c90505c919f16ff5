"""The runtime must import with its base dependencies alone; this file runs in a bare environment too."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "runtime" / "lira_runtime"
IMPORT_NAMES = {"pillow": "PIL"}

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "onnx", "onnxscript", "lira", "lira_export", "safetensors"}:
            raise ImportError(f"{name} is no dependency of the runtime")

sys.meta_path.insert(0, Block())
import lira_runtime
names = [m.name for m in pkgutil.walk_packages(lira_runtime.__path__, "lira_runtime.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def _third_party_imports() -> set[str]:
    found = set()
    for path in RUNTIME.rglob("*.py"):
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
    assert int(result.stdout) == modules


def test_the_base_dependencies_are_exactly_what_the_runtime_imports() -> None:
    assert _third_party_imports() == _base_dependencies()
