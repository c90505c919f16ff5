"""`lira-eval`: how well drawings obey their prompts, by an independent judge; and the judge itself."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from lira.evaluation.results import Evaluated, Judged
from lira_runtime import events
from lira_runtime.commands import version_option
from lira_runtime.completion import complete_bundle
from lira_runtime.errors import EXIT_CODES_HELP, BadInput, cli_guard
from lira_runtime.files import atomic_write, check_png_name, check_writable_file
from lira_runtime.group import Group
from lira_runtime.progress import Progress
from lira_runtime.sampler import MAX_GUIDANCE, MAX_STEPS
from lira_runtime.say import say

if TYPE_CHECKING:
    from lira.evaluation.judge_training import Accuracy
    from lira.evaluation.report import Run

FILE = click.Path(path_type=Path)
SUITES = ("obedience",)
REASONING = ("on", "constant")
SHEET_COUNT, SHEET_COLUMNS, SHEET_SIDE = 64, 8, 192
"""Pictures of a sheet at most, in a row, and the side of each in px."""
OBEYS, DISOBEYS = "black", "firebrick"


json_option = click.option("--json", "as_json", is_flag=True, help=events.JSON_HELP)


class DefaultCommand(Group):
    """A group whose first command is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command's name in front."""
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultCommand, epilog=EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@version_option("lira-eval")
def command() -> None:
    """Measure obedience: `lira-eval BUNDLE [BUNDLE ...] [OPTIONS]`, the same as `lira-eval draw BUNDLE ...`."""


@command.command("draw", epilog=EXIT_CODES_HELP)
@click.argument("bundles", metavar="[BUNDLE]...", nargs=-1, type=FILE, shell_complete=complete_bundle)
@click.option("--suite", type=click.Choice(SUITES), default="obedience", show_default=True)
@click.option("--count", type=click.IntRange(min=1, max=10_000), default=400, show_default=True, help="Prompts.")
@click.option("--steps", type=click.IntRange(1, MAX_STEPS), help="Denoising steps; default: the bundle's.")
@click.option("--guidance", type=float, help=f"0 to {MAX_GUIDANCE:g}, 1 is none; default: the bundle's.")
@click.option("--judge", "judge_path", type=FILE, help="Weights of the judge; default: the committed ones.")
@click.option("--checkpoint", type=FILE, help="Folder of weights, or demo-turbo, to draw with eagerly.")
@click.option(
    "--reasoning",
    type=click.Choice(REASONING),
    multiple=True,
    help="Of --checkpoint: with the loop, or with the learned constant in its place; repeatable.  [default: on]",
)
@click.option("--sheet", type=FILE, help="PNG of the first run's first 64 pictures, disobedient captions in red.")
@click.option("--out", type=FILE, help="JSON file: the summary, and every prompt's reading and verdicts.")
@click.option("--threads", type=click.IntRange(min=0, max=256), default=0, help="0, the default: this machine's.")
@json_option
def draw_command(
    bundles: tuple[Path, ...],
    suite: str,
    count: int,
    steps: int | None,
    guidance: float | None,
    judge_path: Path | None,
    checkpoint: Path | None,
    reasoning: tuple[str, ...],
    sheet: Path | None,
    out: Path | None,
    threads: int,
    as_json: bool,
) -> None:
    """Draw held-out prompts with every BUNDLE and score what a judge sees in the pictures."""
    for path in filter(None, (sheet, out)):
        check_writable_file(path)
    if sheet is not None:
        check_png_name(sheet)
    if not bundles and checkpoint is None:
        raise BadInput("there is nothing to draw with: name a bundle or a --checkpoint.")
    if reasoning and checkpoint is None:
        raise BadInput("--reasoning belongs to --checkpoint; a bundle reasons as it was exported.")
    from lira.evaluation import report
    from lira.evaluation.drawing import Options, bundle_artist
    from lira.evaluation.judge import judge_weights, load_judge
    from lira.evaluation.suite import obedience

    judge = load_judge(judge_path or judge_weights())
    options = Options(steps, guidance, threads)
    artists = [bundle_artist(path, options) for path in bundles]
    if checkpoint is not None:
        from lira.evaluation.eager import eager_artist

        artists += [eager_artist(checkpoint, how, options) for how in reasoning or REASONING[:1]]
    scenes = obedience(count)
    runs: list[report.Run] = []
    with Progress(count * len(artists), "draw", json=as_json) as progress:
        for artist in artists:
            keep = SHEET_COUNT if sheet is not None and not runs else 0
            runs.append(report.run_suite(artist, scenes, judge, keep, progress))
    result = report.summary(suite, scenes, runs)
    if sheet is not None:
        _write_sheet(sheet, runs[0], [scene.caption for scene in scenes])
    if out is not None:
        with atomic_write(out) as part:
            part.write_text(json.dumps(result | {"prompts": report.per_prompt(scenes, runs)}, indent=1) + "\n")
    if as_json:
        events.emit(msgspec.convert(result, Evaluated))
    else:
        say(report.table(result).splitlines())


@command.command("judge", epilog=EXIT_CODES_HELP)
@click.option("--emoji", type=FILE, required=True, help="The Fluent Emoji package, .tgz or unpacked.")
@click.option("--judge", "judge_path", type=FILE, help="Weights of the judge; default: the committed ones.")
@click.option("--count", type=click.IntRange(min=1), default=2000, show_default=True, help="Scenes to measure on.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@json_option
def judge_command(emoji: Path, judge_path: Path | None, count: int, threads: int, as_json: bool) -> None:
    """Measure the judge on held-out real scenes, the same ones every time: accuracy, and what it takes for what."""
    import torch

    from lira.data.emoji import EmojiSet
    from lira.evaluation import judge_training
    from lira.evaluation.judge import judge_weights, load_judge

    torch.set_num_threads(threads)
    judge = load_judge(judge_path or judge_weights())
    _say(judge_training.measure(judge, EmojiSet(emoji), count), as_json)


@command.command("train-judge", epilog=EXIT_CODES_HELP)
@click.option("--emoji", type=FILE, required=True, help="The Fluent Emoji package, .tgz or unpacked.")
@click.option("--out", type=FILE, required=True, help="Weights to write (safetensors).")
@click.option("--steps", type=click.IntRange(min=1), help="Training steps; default: the recipe's.")
@click.option("--count", type=click.IntRange(min=1), default=2000, show_default=True, help="Scenes to measure on.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@json_option
def train_command(
    emoji: Path, out: Path, steps: int | None, count: int, seed: int, threads: int, as_json: bool
) -> None:
    """Train the judge on real scenes alone and measure it on held-out ones."""
    check_writable_file(out)
    import torch

    from lira.data.emoji import EmojiSet
    from lira.evaluation import judge_training
    from lira.evaluation.judge import load_judge

    torch.set_num_threads(threads)
    pictures, recipe = EmojiSet(emoji), judge_training.Recipe()
    if steps is not None:
        recipe = judge_training.Recipe(steps=steps)
    with Progress(recipe.steps, "train judge", json=as_json) as progress:
        judge_training.save_judge(judge_training.train(pictures, recipe, seed, progress), out)
    _say(judge_training.measure(load_judge(out), pictures, count), as_json)


def _say(accuracy: "Accuracy", as_json: bool) -> None:
    from lira.evaluation import report

    if as_json:
        events.emit(msgspec.convert(report.accuracy_summary(accuracy), Judged))
    else:
        say(report.accuracy_table(accuracy).splitlines())


def _write_sheet(path: Path, run: "Run", captions: list[str]) -> None:
    from lira.data.sheet import contact_sheet

    inks = [OBEYS if verdicts["all"] else DISOBEYS for verdicts in run.verdicts]
    count = len(run.kept)
    sheet = contact_sheet(run.kept, captions[:count], SHEET_COLUMNS, SHEET_SIDE, inks[:count])
    with atomic_write(path) as part:
        sheet.save(part, format="PNG", optimize=True)


main = cli_guard(command)

if __name__ == "__main__":
    main()
