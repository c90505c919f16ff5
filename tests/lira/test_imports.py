"""Dependencies run one way: lira_export -> lira -> lira_runtime."""

import ast
from pathlib import Path

import lira

PACKAGE = Path(lira.__file__).parent


def test_lira_never_imports_the_exporter() -> None:
    importers = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            importers += [path.name for name in names if name.split(".")[0] == "lira_export"]
    assert len(list(PACKAGE.rglob("*.py"))) > 30
    assert not importers
