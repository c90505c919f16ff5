"""Write the golden vectors beside this file: `python tests/golden/generate.py`. What each holds: docs/apps.md.

`--only noise tokens` writes those alone. nano.json is made of a bundle of the demo: `--nano build/nano-onnx`.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import noise_vectors
import pixel_vectors
import sampler_vectors
from packing import dump

HERE = Path(__file__).parent
MAKERS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "noise": noise_vectors.make,
    "sampler": sampler_vectors.make,
    "pixels": pixel_vectors.make,
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
