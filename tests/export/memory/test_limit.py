"""Budgets are enforced here, not measured: the whole pipeline draws under a limit above which it is killed."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from event_lines import read_events
from memory_limit import Limited, by_watcher, in_cgroup

from lira_export.memory.budgets import budgets_of, read_budgets
from lira_runtime import manifest
from lira_runtime.manifest import TargetName

ROOT = Path(__file__).parents[3]
BUDGETS = ROOT / "budgets.toml"
MB = 1_000_000
Draw = Callable[..., subprocess.CompletedProcess[str]]
NANO, TOO_LITTLE_FOR_NANO = 125 * MB, 70 * MB
"""Nano's peak is 104 MB (docs/memory.md); an interpreter with NumPy and onnxruntime alone takes 64."""
GOAL, ANONYMOUS, FLOOR = 200 * MB, 139 * MB, 125 * MB
"""For small: what streamed weights are to fit; less than packed ones take even if no file's page counts; and less than
streamed ones do."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc and cgroups are Linux's")


@pytest.fixture(params=[in_cgroup, by_watcher], ids=["cgroup", "watcher"])
def limited(request: pytest.FixtureRequest) -> Limited:
    run: Limited = request.param
    if run is in_cgroup:
        try:
            run(["true"], 1000 * MB)
        except OSError as error:
            pytest.skip(f"no memory cgroup can be made here: {error}")
    return run


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """`lira-generate` of a bundle under a limit, and nothing but the runtime in its process."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "runtime"))
    monkeypatch.setenv("LIRA_CACHE", str(tmp_path / "cache"))

    def run(limited: Limited, bundle: Path, limit: int, *options: str) -> subprocess.CompletedProcess[str]:
        out = str(tmp_path / "picture.png")
        command = [sys.executable, "-P", "-m", "lira_runtime.cli", str(bundle), "a red apple", "--out", out]
        return limited([*command, "--steps", "2", "--json", *options], limit)

    return run


def assert_drawn(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert Path(read_events(done.stdout)[-1]["file"]).stat().st_size > 0


def test_the_demo_draws_below_its_limit_and_dies_above_it(
    formats: dict[TargetName, Path], limited: Limited, draw: Draw
) -> None:
    assert_drawn(draw(limited, formats["onnx"], NANO))
    assert draw(limited, formats["onnx"], TOO_LITTLE_FOR_NANO).returncode == -signal.SIGKILL


@pytest.fixture(scope="session")
def small_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("limit") / "small"
    command = [sys.executable, "-m", "lira_export.cli", "--target", "onnx", "--config", "small", "--out", str(out)]
    subprocess.run(command, check=True)
    return out


@pytest.mark.slow
def test_small_draws_within_its_committed_budget_and_not_in_much_less(
    small_onnx: Path, limited: Limited, draw: Draw
) -> None:
    (budget,) = budgets_of(manifest.load(small_onnx), read_budgets(BUDGETS)).values()
    assert_drawn(draw(limited, small_onnx, budget))
    assert draw(limited, small_onnx, ANONYMOUS).returncode == -signal.SIGKILL


@pytest.mark.slow
def test_small_draws_in_200_mb_with_streamed_weights(small_onnx: Path, limited: Limited, draw: Draw) -> None:
    """The watcher counts all resident pages, so that mapped weights, the control, die. A cgroup has the kernel drop
    their pages instead: it can tell no more than that what streaming leaves is counted."""
    assert_drawn(draw(_without_limit, small_onnx, 0, "--weights", "streamed"))  # packs the weights into the cache
    assert_drawn(draw(limited, small_onnx, GOAL, "--weights", "streamed"))
    weights, too_little = ("streamed", FLOOR) if limited is in_cgroup else ("mapped", GOAL)
    assert draw(limited, small_onnx, too_little, "--weights", weights).returncode == -signal.SIGKILL


def _without_limit(command: list[str], limit: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)
