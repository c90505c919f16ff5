"""The page: one HTML file that needs nothing beside it and no script."""

import base64
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from html import escape
from io import BytesIO

from PIL import Image

from lira_export.compare.draw import Asked
from lira_export.compare.figures import SUMMARY, Figures, decibels, summary_row, weights_by_dtype
from lira_export.compare.measure import Measured
from lira_export.compare.style import STYLE
from lira_export.drift_plot import Curve, drift_png
from lira_runtime.image import Pixels


def page(asked: Asked, every: Sequence[Figures], measured: Sequence[Measured], remarks: Sequence[str]) -> str:
    """The whole document; the first of `every` is the reference, `measured` holds the pictures in the same order."""
    names = " · ".join(escape(figures.name) for figures in every)
    body = [
        f"<header><h1>{names}</h1><p>{_settings(asked, every[0])}</p></header>",
        *([f"<ul class=remarks>{''.join(f'<li>{escape(text)}</li>' for text in remarks)}</ul>"] if remarks else []),
        _summary(every),
        *(_prompt(row, prompt, every, measured) for row, prompt in enumerate(asked.prompts)),
        *_tables(every),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>LiRA: {names}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _settings(asked: Asked, reference: Figures) -> str:
    threads = f"threads: {asked.threads}" if asked.threads else "each engine's own number of threads"
    return escape(
        f"{asked.resolution} px, {asked.steps} steps of {asked.method}, shift {asked.shift:g}, "
        f"guidance {asked.guidance:g}, seed {asked.seed}; {threads} on {platform.machine()} with {os.cpu_count()} "
        f"cores. dB are PSNR against {reference.name}: of pictures by their range of 255, of latents by the greatest "
        "value."
    )


def _summary(every: Sequence[Figures]) -> str:
    return _table(
        "In short",
        "Worst and median of the prompts' pictures. Seconds are the median of the prompts, loading included. Memory is "
        "the resident size of a process that holds this engine alone.",
        SUMMARY,
        [summary_row(figures, figures is every[0]) for figures in every],
    )


def _prompt(row: int, prompt: str, every: Sequence[Figures], measured: Sequence[Measured]) -> str:
    shown = []
    for figures, found in zip(every, measured, strict=True):
        drawn = figures.drawn[row]
        said = "reference" if figures is every[0] else decibels(drawn.picture_db, " dB")
        shown.append(
            f'<figure><img src="{_data_uri(_png(found.drawings[row].image))}" '
            f'alt="{escape(prompt)}, drawn by {escape(figures.name)}">'
            f"<figcaption><b>{escape(figures.name)}</b><span>{said}, {drawn.seconds:.2f} s</span></figcaption></figure>"
        )
    drawings = [(figures.name, figures.drawn[row]) for figures in every[1:]]
    plot = drift_png([Curve(name, drawn.drift_db, drawn.picture_db) for name, drawn in drawings])
    return (
        f"<section><h2>{escape(prompt)}</h2><div class=pictures>{''.join(shown)}</div>"
        f'<img class=plot src="{_data_uri(plot)}" alt="PSNR of the predicted latent by step"></section>'
    )


def _tables(every: Sequence[Figures]) -> Iterable[str]:
    bundles = [figures for figures in every if figures.size_bytes]
    yield _by_name(
        "On disk", "MB by component.", bundles, lambda f: {n: f"{b / 1e6:.1f}" for n, b in f.size_bytes.items()}
    )
    yield _by_name(
        "Weights",
        "MB by the dtype that the files store, all components together.",
        bundles,
        lambda f: {dtype: f"{size / 1e6:.2f}" for dtype, size in sorted(weights_by_dtype(f).items())},
    )
    yield _by_name(
        "Time",
        "Seconds by stage, the median of the prompts, loading included.",
        every,
        lambda f: {name: f"{seconds:.3f}" for name, seconds in f.seconds.items()},
    )
    yield _by_name(
        "Memory",
        "Peak MB by stage, the greatest of the prompts; idle is the process before it drew.",
        every,
        lambda f: {"idle": f"{f.idle_bytes / 1e6:.0f}"} | {n: f"{b / 1e6:.0f}" for n, b in f.peak_bytes.items()},
    )
    yield _by_name(
        "Parity when exported",
        "dB against eager float32, as the manifest says: each component by itself, and the picture of a whole drawing.",
        bundles,
        _parity,
    )


def _parity(figures: Figures) -> dict[str, str]:
    cells = {name: decibels(parity.psnr_db) for name, parity in figures.parity.items()}
    if figures.manifest_picture_db is not None:
        cells["picture"] = decibels(figures.manifest_picture_db)
    return cells


def _by_name(title: str, note: str, every: Sequence[Figures], cells: Callable[[Figures], dict[str, str]]) -> str:
    """A table with a row for each of `every` and a column for each name that any of them has a cell for."""
    found = [cells(figures) for figures in every]
    names = list(dict.fromkeys(name for row in found for name in row))
    rows = [(figures.name, *(row.get(name, "–") for name in names)) for figures, row in zip(every, found, strict=True)]
    return _table(title, note, ("", *(name.replace("_", " ") for name in names)), rows)


def _table(title: str, note: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)
    lines = [
        f"<tr><th scope=row>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in rows
    ]
    return (
        f"<section><h2>{escape(title)}</h2><p>{escape(note)}</p><div class=scroll><table><thead><tr>{top}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div></section>"
    )


def _png(pixels: Pixels) -> bytes:
    png = BytesIO()
    Image.fromarray(pixels).save(png, format="PNG")
    return png.getvalue()


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
