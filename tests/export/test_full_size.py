"""The export that the README promises, at full size: minutes, so `make test-slow` runs it."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lira_runtime.bundle import Bundle


@pytest.mark.slow
def test_small_exports_within_its_limits(tmp_path: Path) -> None:
    out = tmp_path / "small"
    command = [sys.executable, "-m", "lira_export.cli", "--target", "onnx", "--config", "small", "--out", str(out)]
    start = time.monotonic()
    subprocess.run(command, check=True)
    seconds = time.monotonic() - start
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    bundle = Bundle.open(out)
    sizes = {part.name: sum(file.bytes for file in part.files) for part in bundle.manifest.components}
    parity = {part.name: part.parity for part in bundle.manifest.components}
    print(f"{seconds:.0f} s, {peak_bytes / 1e9:.1f} GB, {sizes}")
    assert bundle.manifest.resolutions == (1024,) and bundle.manifest.latent.name == "f32c32"
    assert seconds <= 240 and peak_bytes <= 5e9
    assert sizes["denoiser"] <= 150e6
    assert parity["denoiser"].psnr_db >= 30
    assert all(part.float32_max_abs is not None and part.float32_max_abs <= 1e-4 for part in parity.values())
