"""What an engine cannot do is said before it is asked for it."""

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from lira_runtime.backends.limits import check_engine
from lira_runtime.backends.loading import load_graph
from lira_runtime.backends.session import SessionSettings
from lira_runtime.errors import BadInput
from lira_runtime.manifest import WeightsMode

KEPT: tuple[WeightsMode, ...] = ("mapped", "streamed")


def installed(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", version)


@pytest.mark.parametrize("weights", KEPT)
@pytest.mark.parametrize("version", ["1.22.0", "1.31.1"])
def test_releases_that_crash_on_packed_weights_from_a_file_are_refused_them(
    monkeypatch: pytest.MonkeyPatch, version: str, weights: WeightsMode
) -> None:
    installed(monkeypatch, version)
    with pytest.raises(BadInput, match=rf"onnxruntime {version} crashes .* --weights packed, or .*>=1\.32'"):
        check_engine("onnx", weights)
    with pytest.raises(BadInput, match="crashes"):
        load_graph(Path("graph.onnx"), SessionSettings(weights=weights))


@pytest.mark.parametrize("version", ["1.32.0", "1.32.1", "2.0"])
def test_later_releases_may_keep_packed_weights_and_early_ones_pack_at_every_load(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    installed(monkeypatch, version)
    check_engine("onnx", "mapped")
    installed(monkeypatch, "1.22.0")
    check_engine("onnx", "packed")
    check_engine("tflite", "mapped")


def test_a_drawing_does_without_the_modules_that_read_what_is_installed() -> None:
    """They are 2 MB of a process that takes 65 MB before its first stage, in every mode of loading."""
    script = (
        "import sys, lira_runtime.pipeline, lira_runtime.backends.choose as choose; "
        "from lira_runtime.backends.session import SessionSettings; "
        "from lira_runtime.backends.limits import check_engine; "
        "check_engine('onnx', 'mapped'); choose.backend_for('onnx', SessionSettings(weights='mapped')); "
        "print(sorted(sys.modules.keys() & {'email', 'importlib.metadata', 'packaging', 'zipfile', 'onnxruntime'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['onnxruntime']"
