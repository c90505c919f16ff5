"""Write the golden vectors beside this file: `python tests/golden/generate.py`. What each holds: docs/apps.md.

`--only noise tokens` writes those alone. That is made anew where an int8 ONNX bundle of the demo is given:
`lira-export --target onnx --config nano --out build/nano-onnx`, then `--nano build/nano-onnx`.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "runtime"))  # clip_reference

import files_vectors  # noqa: E402
import manifests_vectors  # noqa: E402
import nano_vectors  # noqa: E402
import noise_vectors  # noqa: E402
import pixels_vectors  # noqa: E402
import sampler_vectors  # noqa: E402
import tokens_vectors  # noqa: E402
from packing import dump  # noqa: E402

MAKERS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "noise": noise_vectors.make,
    "sampler": sampler_vectors.make,
    "pixels": pixels_vectors.make,
    "tokens": tokens_vectors.make,
    "manifests": manifests_vectors.make,
    "files": files_vectors.make,
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=sorted(MAKERS), default=sorted(MAKERS))
    parser.add_argument("--nano", type=Path, metavar="BUNDLE", help="draw anew with this bundle")
    asked = parser.parse_args()
    for name in asked.only:
        dump(HERE / f"{name}.json", MAKERS[name]())
    if asked.nano is not None:
        dump(HERE / "nano.json", nano_vectors.write(asked.nano, HERE))


if __name__ == "__main__":
    main()
