"""What an export says while it works: to people line by line, to programs one JSON object a line."""

import json
from collections.abc import Mapping, Sequence

import click


def plain_show(event: str, lines: Sequence[str], record: Mapping[str, object]) -> None:
    """Lines for people, on stdout."""
    click.echo("\n".join(lines))


def json_show(event: str, lines: Sequence[str], record: Mapping[str, object]) -> None:
    """A record for programs, on stdout."""
    click.echo(json.dumps({"event": event, **record}))


def plain_say(line: str) -> None:
    """A line of progress, on stderr."""
    click.echo(line, err=True)


def json_say(line: str) -> None:
    """The same for programs."""
    click.echo(json.dumps({"event": "progress", "text": line}), err=True)


def plain_tell(component: str, reused: bool) -> None:
    """A component is there: whether it was before, on stderr."""
    plain_say(f"{component}: {'kept from before' if reused else 'made'}")


def json_tell(component: str, reused: bool) -> None:
    """The same for programs."""
    click.echo(json.dumps({"event": "component", "name": component, "reused": reused}), err=True)
