"""`lira-compare` over the three formats in one run, and its figures from drawings made by hand."""

import base64
import re
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_lines import read_events
from PIL import Image
from toy_bundle import write_toy_bundle

from lira.evaluation.eager import draw_batch
from lira_export.compare.cli import main
from lira_export.compare.columns import Column
from lira_export.compare.figures import figures_of, summary_row, table
from lira_export.compare.measure import Measured
from lira_export.drawing import Drawing
from lira_export.targets import TARGETS
from lira_runtime.bundle import Bundle
from lira_runtime.manifest import TargetName
from lira_runtime.pipeline import StageFinished
from lira_runtime.sampler import shifted_sigmas

PROMPT, SEED, STEPS, GUIDANCE = "a green bus on a red background", 7, 2, 2.0
STAGES = ("text_encoder", "denoiser", "decoder")
MB = 10**6


def test_the_three_formats_draw_the_same_picture_side_by_side(
    mites: Callable[[TargetName], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundles, page = [str(mites(target).bundle) for target in TARGETS], tmp_path / "page.html"
    settings = ["--steps", str(STEPS), "--guidance", str(GUIDANCE), "--seed", str(SEED), "--json"]
    start = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        main([*bundles, "--prompt", PROMPT, "--html", str(page), *settings])
    elapsed = time.monotonic() - start
    captured = capsys.readouterr()
    assert not ended.value.code, captured.err
    columns = read_events(captured.out)[-1]["columns"]
    assert [(column["name"], column["format"], column["recipe"]) for column in columns] == [
        (target, target, "int8") for target in TARGETS
    ]
    assert [column["engine"].split(" ")[0] for column in columns] == ["onnxruntime", "arithmetic", "LiteRT"]
    taken = 0.0
    for column in columns:
        assert tuple(column["seconds"]) == tuple(column["peak_bytes"]) == STAGES
        assert all(seconds > 0 for seconds in column["seconds"].values())
        assert column["drawn"][0]["seconds"] == pytest.approx(sum(column["seconds"].values()))
        taken += column["drawn"][0]["seconds"]
        # A process of Python and NumPy has more than 20 MB, and no mite needs 4 GB.
        assert 20e6 < column["idle_bytes"] <= min(column["peak_bytes"].values())
        assert max(column["peak_bytes"].values()) < 4e9
    assert taken < elapsed
    models = mites("onnx").models
    (eager,) = draw_batch(replace(models, resolution=32), [PROMPT], SEED, shifted_sigmas(STEPS, 1.0), GUIDANCE)
    sources = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page.read_text())
    pictures = [np.asarray(Image.open(BytesIO(base64.b64decode(source)))).astype(float) for source in sources]
    assert len(pictures) == len(columns) == 3
    for column, picture in zip(columns, pictures, strict=True):
        assert 10 * np.log10(255**2 / np.mean((picture - eager) ** 2)) >= 25, column["name"]
        error = np.mean((picture - pictures[0]) ** 2)
        wanted = 200.0 if error == 0 else 10 * np.log10(255**2 / error)
        assert column["drawn"][0]["picture_db"] == pytest.approx(wanted, abs=1e-6)


def drawing(grey: int, *stages: tuple[float, int]) -> Drawing:
    """One step, whose latent and picture are of one value; seconds and MB by stage."""
    finished = tuple(
        StageFinished(name, seconds, mb * MB, "VmHWM") for name, (seconds, mb) in zip(STAGES, stages, strict=True)
    )
    return Drawing((np.full((1, 1, 2, 2), grey / 255, np.float32),), np.full((4, 4, 3), grey, np.uint8), finished)


@pytest.fixture
def column(tmp_path: Path) -> Column:
    write_toy_bundle(tmp_path / "toy")
    return Column("toy", Bundle.open(tmp_path / "toy"))


def test_seconds_are_the_median_of_the_prompts_and_memory_is_the_most(column: Column) -> None:
    reference = Measured(column, (drawing(255, (1, 1), (1, 1), (1, 1)),) * 3, MB)
    found = Measured(
        column,
        (
            drawing(245, (0.1, 60), (4.0, 90), (0.3, 70)),
            drawing(255, (0.3, 80), (1.0, 99), (0.1, 75)),
            drawing(235, (0.2, 70), (2.0, 95), (0.2, 71)),
        ),
        50 * MB,
    )
    figures = figures_of(found, reference)
    assert figures.seconds == pytest.approx({"text_encoder": 0.2, "denoiser": 2.0, "decoder": 0.2})
    assert figures.peak_bytes == {"text_encoder": 80 * MB, "denoiser": 99 * MB, "decoder": 75 * MB}
    assert figures.idle_bytes == 50 * MB
    assert [each.seconds for each in figures.drawn] == pytest.approx([4.4, 1.4, 2.4])
    ten, twenty = 20 * np.log10(255 / 10), 20 * np.log10(255 / 20)
    assert [each.picture_db for each in figures.drawn] == pytest.approx([ten, 200, twenty])
    assert [each.drift_db[0] for each in figures.drawn] == pytest.approx([ten, 200, twenty], abs=1e-4)
    row = summary_row(figures, is_reference=False)
    assert row[-4:] == (f"{twenty:.1f}", f"{ten:.1f}", "2.40", "99")
    head, _, line = table([figures_of(reference, reference), figures])
    assert head.split()[-2:] == ["peak", "MB"] and line.split()[-1] == "99"
