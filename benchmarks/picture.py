"""How long is a whole picture, and how far from the sum of its parts' GEMM floors?

`python benchmarks/picture.py [--steps 20]`: the runtime's own pipeline with guidance, its stages as they report
themselves. Floors: one pass of the text encoder and two of the denoiser for each step at the int8 ceiling, the decoder
at the float32 ceiling, which is what it computes in; the ceilings are measured before and after the picture.
"""

from pathlib import Path

import click
import torch

from case import Case, case_options, open_case
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.session import SessionSettings
from lira_runtime.errors import cli_guard
from lira_runtime.interface import PROMPT_TOKENS
from lira_runtime.pipeline import Pipeline, Request, StageFinished
from report import show_figures
from timing import ceilings, gflop, interleaved, rates

PROMPT = "a red apple on a blue background"
GUIDANCE = 4.0


def measure(case: Case, steps: int) -> dict[str, float]:
    """Seconds of the stages and of their floors, and ratios by name."""
    gemms = ceilings(case.threads)
    products = {name: gemm.run for name, gemm in gemms.items()}
    before = rates(gemms, interleaved(products, 5))
    stages = _draw(case, steps)
    after = rates(gemms, interleaved(products, 5))
    fp32, int8 = ((before[name] + after[name]) / 2 for name in ("fp32 GEMM", "int8 GEMM"))
    parts = _arithmetic(case)
    floors = {
        "text_encoder": parts["text_encoder"] / int8,
        "denoiser": 2 * steps * parts["denoiser"] / int8,
        "decoder": parts["decoder"] / fp32,
    }
    total, floor = sum(stages.values()), sum(floors.values())
    return {
        "denoiser passes": 2 * steps,
        **{f"{name} s": seconds for name, seconds in stages.items()},
        **{f"{name} floor s": seconds for name, seconds in floors.items()},
        "fp32 GEMM ceiling GFLOP/s": fp32,
        "int8 GEMM ceiling Gop/s": int8,
        "picture s": total,
        "sum of the floors s": floor,
        "picture / sum of the floors": total / floor,
    }


def _draw(case: Case, steps: int) -> dict[str, float]:
    """Seconds of every stage of one picture, loading included."""
    pipeline = Pipeline(case.bundle, OnnxBackend(SessionSettings(threads=case.threads)))
    events = pipeline.generate(Request(PROMPT, steps=steps, guidance=GUIDANCE))
    return {event.stage: event.seconds for event in events if isinstance(event, StageFinished)}


def _arithmetic(case: Case) -> dict[str, float]:
    """GFLOP of one pass of every part."""
    models, shape = case.models, case.latent_shape
    latent, text = torch.zeros(shape), torch.zeros(1, PROMPT_TOKENS, models.text_encoder.width)
    return {
        "text_encoder": gflop(lambda: models.text_encoder(torch.zeros(1, PROMPT_TOKENS, dtype=torch.int32))),
        "denoiser": gflop(lambda: models.denoiser(latent, torch.tensor([0.5]), text)),
        "decoder": gflop(lambda: models.decoder(latent)),
    }


@click.command()
@case_options
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True)
def command(config: str, path: Path | None, threads: int, as_json: bool, steps: int) -> None:
    """Time a whole picture, with guidance, against the sum of its parts' floors."""
    case = open_case(config, path, threads)
    show_figures(f"picture: {case.title}, {steps} steps", measure(case, steps), as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()
