"""A command that stands for several."""

import click


class Group(click.Group):
    """Its `--version` may stand anywhere, beside `--json` too, which is else an option of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let `--version` alone count where it is asked for."""
        return super().parse_args(ctx, ["--version"] if "--version" in args else args)
