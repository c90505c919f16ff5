"""The report: one HTML file that needs nothing beside it and no script."""

import shlex
from collections.abc import Iterable, Sequence
from html import escape

from lira_runtime.memory import describe
from lira_runtime.memory.budget import megabytes
from lira_runtime.memory.chart import svg, top_bytes
from lira_runtime.memory.parts import Parts, StageParts
from lira_runtime.memory.profile import Profile, shown
from lira_runtime.memory.style import STYLE
from lira_runtime.memory.watch import Watched
from lira_runtime.say import printable

_PARTS = {"idle": "idle process", "loaded": "loaded", "mapped": "mapped files", "working": "working memory"}


def page(profile: Profile, budget: int | None, command: Sequence[str]) -> str:
    """The whole document; budget in bytes, command: the words that made it."""
    title = f"Memory of {profile.bundle.path.name}"
    top = top_bytes(profile.watched, budget)
    body = [
        f"<header><h1>{escape(title)}</h1><p>{escape(describe.settings_line(profile))}</p></header>",
        _figures(profile, budget),
        *([] if profile.pipeline is None else [_timeline(profile.pipeline, top, budget)]),
        _made_of(profile),
        _claims(profile),
        _stage_timelines(profile, top, budget),
        _table("Every phase", describe.PHASE_NOTE, describe.PHASE_HEAD, describe.phase_rows(profile)),
        _definitions("Which number kills", describe.KILLS),
        _definitions("Machine", [*describe.machine().items(), ("command", printable(shlex.join(command)))]),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>LiRA: {escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _figures(profile: Profile, budget: int | None) -> str:
    kind = "over" if budget is not None and profile.peak > budget else ""
    anonymous = max(each.peak_anonymous for each in profile.watched)
    figures = [("peak", megabytes(profile.peak), kind), ("anonymous at most", megabytes(anonymous), "")]
    if budget is not None:
        figures.append(("budget", megabytes(budget), ""))
    cells = "".join(f'<div class="{kind}"><dt>{name}</dt><dd>{value}</dd></div>' for name, value, kind in figures)
    said = [*([] if budget is None else [describe.verdict(profile, budget)]), *describe.remarks(profile)]
    return f"<dl class=figures>{cells}</dl>" + "".join(f"<p>{escape(sentence)}</p>" for sentence in said)


def _timeline(pipeline: Watched, top: float, budget: int | None) -> str:
    note = escape(f"Above each stage its peak; axis in MB. {describe.SAMPLED}.")
    return (
        f"<section><h2>Whole pipeline over time</h2><p>{_legend()} {note}</p>"
        f"<div class=scroll>{svg(pipeline, top, budget)}</div></section>"
    )


def _stage_timelines(profile: Profile, top: float, budget: int | None) -> str:
    charts = "".join(
        f"<h3>{escape(shown(stage.name))}</h3><div class=scroll>{svg(stage, top, budget)}</div>"
        for stage in profile.stages
    )
    return (
        f"<section><h2>Each stage in a process of its own</h2><p>{_legend()} The same scale throughout.</p>"
        f"{charts}</section>"
    )


def _legend() -> str:
    return '<b class="key anonymous">anonymous</b> <b class="key file">file-backed</b>'


def _made_of(profile: Profile) -> str:
    every = [
        (f"{shown(stage.name)}, {moment}", parts)
        for stage in profile.stages
        for moment, parts in StageParts.of(stage).moments()
    ]
    longest = max(parts.peak for _, parts in every)
    keys = " ".join(f'<b class="key {part}">{title}</b>' for part, title in _PARTS.items())
    bars = "".join(f"<dt>{escape(name)}</dt><dd>{_bar(parts, longest)}</dd>" for name, parts in every)
    table = _table("", describe.PART_NOTE, describe.PART_HEAD, describe.part_rows(profile))
    return f"<section><h2>What it is made of</h2><p>{keys}</p><dl class=bars>{bars}</dl></section>{table}"


def _claims(profile: Profile) -> str:
    rows = describe.claim_rows(profile)
    title = "Claimed, predicted, measured"
    return _table(title, describe.CLAIM_NOTE, describe.CLAIM_HEAD, rows) if rows else ""


def _bar(parts: Parts, longest: int) -> str:
    pieces = "".join(
        f'<span class="{part}" style="width:{100 * size / longest:.2f}%" title="{title} {megabytes(size)}"></span>'
        for part, title in _PARTS.items()
        for size in [getattr(parts, part)]
    )
    return f"{pieces}<i>{megabytes(parts.peak)}</i>"


def _table(title: str, note: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)
    lines, before = [], ""
    for name, *cells in rows:
        first = "" if name == before else escape(name)
        before = name
        lines.append(f"<tr><th scope=row>{first}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    kind = "one" if head is describe.CLAIM_HEAD else "two"
    return (
        f"<section>{heading}<p>{escape(note)}</p><div class=scroll><table class={kind}><thead><tr>{top}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div></section>"
    )


def _definitions(title: str, entries: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>" for name, said in entries)
    return f"<section><h2>{escape(title)}</h2><dl class=facts>{rows}</dl></section>"
