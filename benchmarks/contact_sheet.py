"""Draw a list of prompts with a bundle, one picture a prompt, unpicked: line i of the list with seed i.

`python benchmarks/contact_sheet.py build/nano-onnx --out docs/contact-sheet.png` makes the sheet in the README.
"""

from pathlib import Path

import click
from PIL import Image

from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, cli_guard
from lira_runtime.files import atomic_write, check_writable_file
from lira_runtime.pipeline import ImageReady, Pipeline, Request
from lira_runtime.progress import Progress

PROMPTS = Path(__file__).parent.parent / "docs" / "demo-prompts.txt"
GAP = 4


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--prompts", type=click.Path(path_type=Path), default=PROMPTS, help="One prompt a line.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--steps", type=int, help="Sampler steps; the bundle's default where not given.")
@click.option("--guidance", type=float, help="The bundle's default where not given.")
@click.option("--columns", type=click.IntRange(min=1), default=4, show_default=True)
def command(bundle: Path, prompts: Path, out: Path, steps: int | None, guidance: float | None, columns: int) -> None:
    """Draw every prompt and paste the pictures into one sheet."""
    check_writable_file(out)
    opened = Bundle.open(bundle)
    pipeline, side = Pipeline(opened), opened.manifest.resolution
    lines = prompts.read_text().splitlines()
    if not lines:
        raise BadInput(f"{prompts} holds no prompt.")
    rows = -(-len(lines) // columns)
    sheet = Image.new("RGB", (columns * (side + GAP) - GAP, rows * (side + GAP) - GAP), "white")
    with Progress(len(lines), "draw") as progress:
        for seed, prompt in enumerate(lines):
            for event in pipeline.generate(Request(prompt, seed=seed, steps=steps, guidance=guidance)):
                if isinstance(event, ImageReady):
                    place = (seed % columns * (side + GAP), seed // columns * (side + GAP))
                    sheet.paste(Image.fromarray(event.image), place)
            progress.advance(1, prompt)
    with atomic_write(out) as part:
        sheet.save(part, format="PNG", optimize=True)


main = cli_guard(command)

if __name__ == "__main__":
    main()
