"""Write the golden vectors beside this file: `python tests/golden/generate.py`. What each holds: docs/apps.md.

`--only noise tokens` writes those alone. nano.json is made of a bundle of the demo: `--nano build/nano-onnx`.
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
    parser.add_argument("--only", nargs="+", choices=sorted(MAKERS), default=sorted(MAKERS))
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    for name in asked.only:
        dump(asked.out / f"{name}.json", MAKERS[name]())


if __name__ == "__main__":
    main()
