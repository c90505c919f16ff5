"""benchmarks/formats.py on one nano bundle beside itself: what it runs, and what it says of the times."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec
import pytest

import formats
from case import Case
from lira_runtime.errors import BadInput


def test_every_shared_component_is_run_by_both_sides(nano: Case):
    rows, ratios = formats.measure((nano.bundle, nano.bundle), 64, threads=1, rounds=3)
    assert [row["component"] for row in rows] == ["text_encoder", "denoiser", "decoder"]
    for row in rows:
        assert 0 < row["A ms, least"] <= row["A ms"] <= row["A ms, most"]
        assert ratios[f"{row['component']}, A / B, least"] <= row["A ms, most"] / row["B ms, least"]


def test_ratios_are_of_the_runs_of_one_round(nano: Case, monkeypatch: pytest.MonkeyPatch):
    def laps(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
        return {"A": [2.0, 40.0, 9.0], "B": [1.0, 20.0, 3.0]}

    monkeypatch.setattr(formats, "laps", laps)
    rows, ratios = formats.measure((nano.bundle, nano.bundle), 64, threads=1, rounds=3)
    assert (rows[0]["A ms"], rows[0]["B ms"]) == (9, 3)
    assert [ratios[f"decoder, A / B{end}"] for end in ("", ", least", ", most")] == [2, 2, 3]


def test_bundles_without_a_shared_resolution_are_bad_input(nano: Case):
    other = replace(nano.bundle, manifest=msgspec.structs.replace(nano.bundle.manifest, resolutions=(128,)))
    with pytest.raises(BadInput, match="share no resolution"):
        formats.shared_resolution((nano.bundle, other))
