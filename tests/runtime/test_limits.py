"""What an engine cannot do is said before it is asked for it."""

from importlib import metadata
from pathlib import Path

import pytest

from lira_runtime.backends.limits import check_engine
from lira_runtime.backends.loading import load_graph
from lira_runtime.backends.session import SessionSettings
from lira_runtime.errors import BadInput
from lira_runtime.manifest import WeightsMode

KEPT: tuple[WeightsMode, ...] = ("mapped", "streamed")


def installed(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: {"onnxruntime": version}[name])


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
