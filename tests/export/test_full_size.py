"""The exports that the README promises, at full size: minutes, so `make test-slow` runs them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lira_runtime.bundle import Bundle
from lira_runtime.manifest import TargetName

LIMITS: dict[TargetName, tuple[float, float, float]] = {
    "onnx": (240, 5e9, 150e6),
    "coreml": (360, 8e9, 150e6),
    "tflite": (360, 8e9, 160e6),
}
"""Seconds on 2 cores, bytes of memory, bytes of the denoiser's files."""


@pytest.mark.slow
@pytest.mark.parametrize("target", LIMITS)
def test_small_exports_within_its_limits(target: TargetName, tmp_path: Path) -> None:
    out = tmp_path / "small"
    command = [sys.executable, "-m", "lira_export.cli", "--target", target, "--config", "small", "--out", str(out)]
    start = time.monotonic()
    export = subprocess.Popen(command)
    _, status, used = os.wait4(export.pid, 0)  # of this process and its children, unlike RUSAGE_CHILDREN
    export.returncode = os.waitstatus_to_exitcode(status)
    seconds, peak_bytes = time.monotonic() - start, 1024 * used.ru_maxrss
    assert export.returncode == 0
    bundle = Bundle.open(out)
    sizes = {part.name: sum(file.bytes for file in part.files) for part in bundle.manifest.components}
    parity = {part.name: part.parity for part in bundle.manifest.components}
    print(f"{target}: {seconds:.0f} s, {peak_bytes / 1e9:.1f} GB, {sizes}")
    assert bundle.manifest.resolutions == (1024,) and bundle.manifest.latent.name == "f32c32"
    most_seconds, most_bytes, most_denoiser_bytes = LIMITS[target]
    assert seconds <= most_seconds and peak_bytes <= most_bytes
    assert sizes["denoiser"] <= most_denoiser_bytes
    assert parity["denoiser"].psnr_db >= 30 and all(part.passed for part in parity.values())
    assert all(part.float32_max_abs is not None and part.float32_max_abs <= 1e-4 for part in parity.values())
