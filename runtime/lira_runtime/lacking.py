"""What is said where a package is not installed, also by a command that lacks what it speaks with.

Nothing but the standard library is imported here.
"""

import json
import sys
from collections.abc import Sequence

RUNTIME = frozenset({"PIL", "click", "msgspec", "numpy", "onnxruntime", "packaging", "tokenizers"})
"""What the runtime imports, which installing this project brings; other packages come with extras."""


def sentence(module: str) -> str:
    """What is not installed, and what installs it."""
    package = module.split(".")[0]
    if package in RUNTIME:
        return f"{package} is not installed, which the runtime needs: pip install . -c constraints.txt"
    more = "this command needs more than the runtime: pip install '.[onnx,train]' -c constraints.txt"
    return f"{package} is not installed; {more}"


def end(module: str, arguments: Sequence[str]) -> None:
    """Say that it is not installed, as `lira_runtime.errors` would if it could be imported; raises SystemExit."""
    said = sentence(module)
    if "--json" in arguments:
        print(json.dumps({"event": "error", "code": "not_installed", "exit_code": 2, "message": said}), flush=True)
    print(f"error: {said}", file=sys.stderr)
    raise SystemExit(2)
