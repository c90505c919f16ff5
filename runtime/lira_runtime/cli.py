"""`lira-generate`: a bundle and a prompt in, a PNG out."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import click
from msgspec import Struct

from lira_runtime import events
from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.kept import KeptGraphs
from lira_runtime.backends.limits import MAX_THREADS
from lira_runtime.backends.session import SessionSettings
from lira_runtime.bundle import Bundle
from lira_runtime.commands import version_option
from lira_runtime.completion import complete_bundle
from lira_runtime.errors import EXIT_CODES_HELP, cli_guard
from lira_runtime.files import check_outputs, check_png_name, sha256_of
from lira_runtime.image import read_picture, write_png
from lira_runtime.manifest import WEIGHTS_MODES, WeightsMode
from lira_runtime.memory.meter import Source, process_peak_bytes
from lira_runtime.noise import SEED_LIMIT
from lira_runtime.pipeline import (
    USUAL_STRENGTH,
    DenoisingStep,
    Event,
    ImageReady,
    Pipeline,
    PromptCut,
    Request,
    Settings,
    StageFinished,
)
from lira_runtime.progress import Progress
from lira_runtime.sampler import MAX_GUIDANCE, MAX_STEPS, METHODS
from lira_runtime.say import say
from lira_runtime.trust.opening import NO_VERIFY_HELP, open_to_run


class Stage(Struct, frozen=True):
    """Seconds, and peak resident bytes of the whole process."""

    seconds: float
    peak_bytes: int


class Generated(events.Result, frozen=True, kw_only=True, tag="result"):
    """A picture is written. seconds: of all stages, loading included; peak_bytes: of the process so far."""

    command: Literal["lira-generate"] = "lira-generate"
    file: str
    seed: int
    seconds: float
    peak_bytes: int
    peak_source: Source
    stages: dict[str, Stage]


@dataclass
class Run:
    """What one generation did: filled while its events arrive."""

    before_bytes: int
    stages: list[StageFinished] = field(default_factory=list)
    image: ImageReady | None = None

    @property
    def peak_bytes(self) -> int:
        """Peak resident bytes of the process over everything so far."""
        return max([self.before_bytes, process_peak_bytes(), *(stage.peak_bytes for stage in self.stages)])

    @property
    def seconds(self) -> float:
        """Seconds of all stages, loading included."""
        return sum(stage.seconds for stage in self.stages)


@cli_guard
@click.command(epilog=EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path), shell_complete=complete_bundle)
@click.argument("prompt")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="PNG file to write.")
@click.option("--seed", type=click.IntRange(0, SEED_LIMIT - 1), default=0, show_default=True, help="Noise seed.")
@click.option("--steps", type=click.IntRange(1, MAX_STEPS), help="Denoising steps; default: the bundle's.")
@click.option("--guidance", type=float, help=f"0 to {MAX_GUIDANCE:g}, 1 is none; default: the bundle's.")
@click.option("--image", type=click.Path(path_type=Path), help="Picture to start from; the bundle needs an encoder.")
@click.option(
    "--strength", type=float, help=f"Share of the steps run on --image, above 0, up to 1.  [default: {USUAL_STRENGTH}]"
)
@click.option("--sampler", type=click.Choice(sorted(METHODS)), help="Default: the bundle's.")
@click.option("--resolution", type=click.IntRange(min=1), help="Side in px; default: the first that the bundle has.")
@click.option("--cut", is_flag=True, help="Draw the beginning of a prompt that is too long, and say what was dropped.")
@click.option(
    "--threads", type=click.IntRange(0, MAX_THREADS), default=0, help="0, the default: one a big core, at most 8."
)
@click.option(
    "--spinning/--no-spinning", default=None, help="Whether idle threads wait busily; default: unless on battery."
)
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS_MODES),
    help="packed: in memory; mapped: from a cache file; streamed: mapped, few of them resident at a time; default: as "
    "the bundle says.",
)
@click.option("--keep-loaded", is_flag=True, help="Keep every component in memory until the end.")
@click.option("--no-verify", is_flag=True, help=NO_VERIFY_HELP)
@click.option("--public-key", type=click.Path(path_type=Path), help="Key, in PEM, that must have signed the bundle.")
@click.option("--json", "as_json", is_flag=True, help=events.JSON_HELP)
@version_option("lira-generate")
def main(
    bundle_path: Path,
    prompt: str,
    out: Path,
    seed: int,
    steps: int | None,
    guidance: float | None,
    image: Path | None,
    strength: float | None,
    sampler: str | None,
    resolution: int | None,
    cut: bool,
    threads: int,
    spinning: bool | None,
    weights: WeightsMode | None,
    keep_loaded: bool,
    no_verify: bool,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Draw PROMPT with the bundle in the directory BUNDLE."""
    check_outputs([out], [bundle_path])
    check_png_name(out)
    bundle = open_to_run(bundle_path, no_verify, as_json, public_key)
    session = SessionSettings(threads, spinning, weights or bundle.manifest.weights)
    make = partial(backend_for, bundle.manifest.target, session)
    pipeline = Pipeline(bundle, KeptGraphs(make) if keep_loaded else make(), resolution)
    picture = None if image is None else read_picture(image, bundle.resolution(resolution))
    request = Request(prompt, seed, steps, guidance, sampler, cut=cut, picture=picture, strength=strength)
    settings = pipeline.settings(request)
    run = Run(process_peak_bytes())
    with Progress(settings.steps_to_run, "denoising", json=as_json) as progress:
        for event in pipeline.generate(request):
            if isinstance(event, PromptCut):
                _say_cut(event, as_json)
            _record(run, event, progress)
    assert run.image is not None, "the pipeline ends with ImageReady"
    write_png(out, run.image.image, _png_texts(settings, bundle, image))
    if as_json:
        events.emit(_result(out, run, settings))
    else:
        say(_table(out, run))


def _say_cut(event: PromptCut, as_json: bool) -> None:
    if as_json:
        events.emit(events.PromptCut(dropped=event.dropped))
        return
    sentence = f"notice: the prompt is too long; this has no effect: {event.dropped!r}"
    say(sentence, err=True)


def _record(run: Run, event: Event, progress: Progress) -> None:
    if isinstance(event, DenoisingStep):
        progress.update(event.index + 1, f"{event.reasoning_steps} reasoning steps")
    elif isinstance(event, StageFinished):
        run.stages.append(event)
    elif isinstance(event, ImageReady):
        run.image = event


def _png_texts(settings: Settings, bundle: Bundle, image: Path | None) -> dict[str, str]:
    start = {} if image is None else {"image": sha256_of(image), "strength": f"{settings.strength:g}"}
    return {
        "prompt": settings.prompt,
        "seed": str(settings.seed),
        "steps": str(settings.steps),
        "sampler": settings.method,
        "guidance": f"{settings.guidance:g}",
        "bundle": bundle.digest,
        **start,
    }


def _result(out: Path, run: Run, settings: Settings) -> Generated:
    return Generated(
        file=str(out),
        seed=settings.seed,
        seconds=round(run.seconds, 4),
        peak_bytes=run.peak_bytes,
        peak_source=run.stages[-1].source,
        stages={stage.stage: Stage(round(stage.seconds, 4), stage.peak_bytes) for stage in run.stages},
    )


def _table(out: Path, run: Run) -> list[str]:
    rows = [f"{'stage':<14}{'seconds':>10}{'peak MB':>12}"]
    rows += [f"{s.stage:<14}{s.seconds:>10.2f}{s.peak_bytes / 1e6:>12.1f}" for s in run.stages]
    rows.append(f"{'all':<14}{run.seconds:>10.2f}{run.peak_bytes / 1e6:>12.1f}")
    return [*rows, f"resident memory of the whole process, by {run.stages[-1].source}", f"wrote {out}"]


if __name__ == "__main__":
    main()
