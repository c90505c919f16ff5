"""SHA-256 of eager modules, and of this project's own code."""

import hashlib
import importlib.util
from collections.abc import Iterable
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from lira.checkpoint import tensors_digest, weights_digest
from lira_runtime.files import sha256_of

PACKAGES = ("lira", "lira_export", "lira_runtime")
CODE_SUFFIXES = (".py", ".toml", ".gz")
""".gz is the tokenizer's."""
PLAIN = (bool, int, float, str, tuple, list, type(None))


def module_digest(module: nn.Module) -> str:
    """SHA-256 of a module: tensors, those of no file included, classes, and plain attributes such as strides."""
    digest = hashlib.sha256(weights_digest(module).encode())
    stored = module.state_dict().keys()
    digest.update(tensors_digest({name: each for name, each in module.named_buffers() if name not in stored}).encode())
    for path, part in module.named_modules():
        kind = type(part)
        digest.update(f"{path} {kind.__module__}.{kind.__qualname__} {getattr(part, 'config', None)}\n".encode())
        for name, value in sorted(vars(part).items()):
            if not name.startswith("_") and _is_plain(value):
                digest.update(f"{name} {value!r}\n".encode())
    return digest.hexdigest()


@cache
def code_digest() -> str:
    """SHA-256 of this project's code, wherever it is installed."""
    specs = [importlib.util.find_spec(name) for name in PACKAGES]
    return tree_digest(Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ())


def tree_digest(folders: Iterable[Path]) -> str:
    """SHA-256 of the names and contents of the code in packages' folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in CODE_SUFFIXES and path.is_file():
                name = path.relative_to(folder).as_posix()
                digest.update(f"{folder.name}/{name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (is_dataclass(value) and not isinstance(value, type))
