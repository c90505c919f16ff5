"""Where a graph's weights lie: packed, mapped and streamed compute the same, and hold what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lira_runtime.backends import streaming
from lira_runtime.backends.loading import load_graph
from lira_runtime.backends.session import SessionSettings
from lira_runtime.backends.streaming import Streaming
from lira_runtime.cache import CACHE_VARIABLE
from lira_runtime.errors import BadInput, DamagedBundle
from lira_runtime.trust import known

RUNTIME = Path(__file__).parents[2] / "runtime"
WIDTH, LAYERS = 1024, 24
WEIGHT_BYTES = WIDTH * WIDTH * LAYERS
X = np.random.default_rng(0).standard_normal((4, WIDTH)).astype(np.float32)
MANY_LAYERS, MANY_ROWS = 4 * LAYERS, 128
"""Of a chain that takes its time, as a denoiser does: many rounds of streaming lie in one run."""
MEASURE = """
import json, sys
from pathlib import Path
import numpy as np
from lira_runtime.backends import streaming
from lira_runtime.backends.loading import load_graph
from lira_runtime.backends.session import SessionSettings
from lira_runtime.memory.meter import PeakMeter

def status(field):
    return 1024 * int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0])

graph, weights, x, runs = Path(sys.argv[1]), sys.argv[2], np.load(sys.argv[3]), int(sys.argv[4])
streaming.SECONDS = float(sys.argv[5])
before = {name: status(name) for name in ("RssAnon", "RssFile", "VmRSS")}
with PeakMeter() as load:
    loaded = load_graph(graph, SessionSettings(threads=1, weights=weights))
with PeakMeter() as run:
    for _ in range(runs):
        with loaded.running():
            y = loaded.session.run(None, {"x": x})[0]
after = {name: status(name) - held for name, held in before.items()}
np.save(sys.argv[3] + weights, y)
peaks = {"load_peak": load.peak_bytes, "run_peak": run.peak_bytes}
print(json.dumps({**after, **{name: peak - before["VmRSS"] for name, peak in peaks.items()}}))
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells anonymous from mapped")


def chain(path: Path, seed: int = 0, layers: int = LAYERS, rows: int = len(X)) -> Path:
    """A chain of int8 products with weights of 1 MiB a layer, in a file of their own."""
    rng, nodes, tensors = np.random.default_rng(seed), [], []
    for index in range(layers):
        names = [f"{kind}{index}" for kind in ("q", "s", "z", "i", "f", "h")]
        weight = rng.integers(-127, 128, (WIDTH, WIDTH)).astype(np.int8)
        tensors.append(onnx.numpy_helper.from_array(weight, f"w{index}"))
        nodes += [
            onnx.helper.make_node("DynamicQuantizeLinear", [f"x{index}" if index else "x"], names[:3]),
            onnx.helper.make_node("MatMulInteger", [names[0], f"w{index}", names[2]], [names[3]]),
            onnx.helper.make_node("Cast", [names[3]], [names[4]], to=1),
            onnx.helper.make_node("Mul", [names[4], names[1]], [names[5]]),
            onnx.helper.make_node("Mul", [names[5], "unit"], [f"x{index + 1}" if index + 1 < layers else "y"]),
        ]
    tensors.append(onnx.numpy_helper.from_array(np.array(1e-3, np.float32), "unit"))
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (rows, WIDTH)) for name in ("x", "y")]
    graph = onnx.helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save_model(model, path, save_as_external_data=True, location=f"{path.name}.data")
    return path


def of_numpy(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The chain in float64 with the quantization that ONNX defines for DynamicQuantizeLinear."""
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
    y = X.astype(np.float64)
    for index in range(LAYERS):
        low, high = min(y.min(), 0.0), max(y.max(), 0.0)
        scale = (high - low) / 255
        zero = np.clip(np.round(-low / scale), 0, 255)
        q = np.clip(np.round(y / scale) + zero, 0, 255)
        y = (q - zero) @ weights[f"w{index}"].astype(np.float64) * scale * 1e-3
    return y


def in_a_process(
    graph: Path, weights: str, x: Path, runs: int = 20, seconds: float = streaming.SECONDS
) -> dict[str, Any]:
    """What a process of its own takes on that loads the graph and runs it, in bytes; seconds: between two rounds."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(graph), weights, str(x), str(runs), str(seconds)],
        env={**os.environ, "PYTHONPATH": str(RUNTIME), CACHE_VARIABLE: str(graph.parent / "cache")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process takes on by mode, the outputs beside it."""
    folder = tmp_path_factory.mktemp("loading")
    graph, x = chain(folder / "chain.onnx"), folder / "x.npy"
    np.save(x, X)
    found: dict[str, Any] = {}
    for weights in ("packed", "mapped", "mapped", "streamed"):  # the first that maps packs
        found[weights] = in_a_process(graph, weights, x)
        found[weights]["y"] = np.load(f"{x}{weights}.npy")
    found["numpy"] = of_numpy(graph)
    return found


@linux_only
def test_all_modes_compute_the_same_bit_for_bit(measured: dict[str, Any]) -> None:
    assert np.array_equal(measured["packed"]["y"], measured["mapped"]["y"])
    assert np.array_equal(measured["packed"]["y"], measured["streamed"]["y"])
    wanted = measured["numpy"]
    assert np.abs(measured["packed"]["y"] - wanted).max() < 0.05 * np.abs(wanted).max()


@linux_only
def test_packed_weights_are_anonymous_and_mapped_ones_are_not(measured: dict[str, Any]) -> None:
    assert measured["packed"]["RssAnon"] > WEIGHT_BYTES
    assert measured["mapped"]["RssAnon"] < WEIGHT_BYTES / 4
    assert measured["mapped"]["RssFile"] > WEIGHT_BYTES


@linux_only
def test_streamed_weights_are_not_resident_after_a_run(measured: dict[str, Any]) -> None:
    assert measured["streamed"]["RssAnon"] < WEIGHT_BYTES / 4
    assert measured["streamed"]["RssFile"] < WEIGHT_BYTES / 4


@linux_only
def test_streamed_weights_are_not_resident_all_at_once(tmp_path: Path) -> None:
    """Against the same without a round: what is let go of at the end of a run, or of libraries, makes no difference."""
    graph, x = chain(tmp_path / "chain.onnx", layers=MANY_LAYERS, rows=MANY_ROWS), tmp_path / "x.npy"
    np.save(x, np.tile(X, (MANY_ROWS // len(X), 1)))
    in_a_process(graph, "mapped", x, runs=1)  # packs
    without = in_a_process(graph, "streamed", x, runs=2, seconds=1e9)
    streamed = in_a_process(graph, "streamed", x, runs=2)
    assert streamed["run_peak"] < without["run_peak"] - 4 * WEIGHT_BYTES / 2
    assert streamed["load_peak"] < without["load_peak"] - 4 * WEIGHT_BYTES / 4


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


MAPPED = SessionSettings(threads=1, weights="mapped")


def entries(cache: Path) -> list[Path]:
    """Packed weights in the cache; beside them it remembers what was read."""
    return [each for each in cache.iterdir() if each.name != known.FOLDER]


def output(graph: Path) -> Any:
    return load_graph(graph, MAPPED).session.run(None, {"x": X})[0]


def test_a_graph_is_packed_once_and_anew_when_it_changes(tmp_path: Path, cache: Path) -> None:
    graph = chain(tmp_path / "chain.onnx")
    first = output(graph)
    (entry,) = entries(cache)
    made = (entry / "graph.onnx").stat().st_mtime_ns
    output(graph)
    assert (entry / "graph.onnx").stat().st_mtime_ns == made
    (tmp_path / "chain.onnx.data").unlink()
    chain(tmp_path / "chain.onnx", seed=1)
    assert not np.array_equal(output(graph), first)
    assert len(entries(cache)) == 1 and entries(cache) != [entry]


def test_weights_of_the_same_size_and_time_are_not_taken_for_others(tmp_path: Path, cache: Path) -> None:
    """Archives that anybody can make again give every file one time."""
    graph = chain(tmp_path / "chain.onnx")
    for path in (graph, tmp_path / "chain.onnx.data"):
        os.utime(path, (10**9, 10**9))
    first = output(graph)
    (tmp_path / "chain.onnx.data").unlink()
    chain(graph, seed=1)
    for path in (graph, tmp_path / "chain.onnx.data"):
        os.utime(path, (10**9, 10**9))
    second = output(graph)
    assert not np.array_equal(second, first)
    assert np.array_equal(second, load_graph(graph, SessionSettings(threads=1)).session.run(None, {"x": X})[0])


def test_what_was_packed_is_hashed_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, read, honest = chain(tmp_path / "chain.onnx"), list[str](), known.sha256_of

    def spy(path: Path) -> str:
        read.append(path.name)
        return honest(path)

    monkeypatch.setattr(known, "sha256_of", spy)
    monkeypatch.setattr(known, "SETTLED_NS", 0)
    files = ["chain.onnx", "chain.onnx.data", "graph.onnx", "graph.onnx.data"]
    first = output(graph)
    output(graph)
    assert sorted(read) == files
    assert np.array_equal(output(graph), first) and sorted(read) == files


@pytest.mark.parametrize(
    "harm", ["truncate the weights", "remove the weights", "spoil the graph", "flip a bit", "add a file"]
)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, cache: Path, harm: str) -> None:
    graph = chain(tmp_path / "chain.onnx")
    first = output(graph)
    (entry,) = entries(cache)
    if harm == "flip a bit":
        flip_in_the_middle(entry / "graph.onnx.data")
    elif harm == "add a file":
        (entry / "more").touch()
    elif harm == "truncate the weights":
        os.truncate(entry / "graph.onnx.data", WEIGHT_BYTES // 3)
    elif harm == "remove the weights":
        (entry / "graph.onnx.data").unlink()
    else:
        (entry / "graph.onnx").write_bytes(b"no graph")
    assert np.array_equal(output(graph), first)
    assert sorted(path.name for path in entry.iterdir()) == ["graph.onnx", "graph.onnx.data", "packed.json"]


def flip_in_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        data = file.read(4096)
        file.seek(path.stat().st_size // 2)
        file.write(bytes(each ^ 0x55 for each in data))


def of_another(path: Path, owner: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `path` belong to another user: tests are not run by root everywhere."""
    honest = {name: getattr(Path, name) for name in ("stat", "lstat")}

    def shown(name: str) -> Any:
        def look(self: Path, **how: Any) -> os.stat_result:
            found = honest[name](self, **how)
            return os.stat_result((*found[:4], owner, *found[5:10])) if self == path else found

        return look

    for name in honest:
        monkeypatch.setattr(Path, name, shown(name))


def test_an_entry_that_others_can_write_or_that_holds_what_they_made_is_not_used(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = chain(tmp_path / "chain.onnx")
    first = output(graph)
    (entry,) = entries(cache)
    assert cache.stat().st_mode & 0o777 == entry.stat().st_mode & 0o777 == 0o700
    made = (entry / "graph.onnx").stat().st_mtime_ns
    entry.chmod(0o755)
    assert np.array_equal(output(graph), first)
    assert entry.stat().st_mode & 0o777 == 0o700 and (entry / "graph.onnx").stat().st_mtime_ns != made
    (entry / "graph.onnx").chmod(0o666)
    assert np.array_equal(output(graph), first)
    assert (entry / "graph.onnx").stat().st_mode & 0o777 == 0o600
    with monkeypatch.context() as patch:
        made = (entry / "graph.onnx").stat().st_mtime_ns
        of_another(entry, os.geteuid() + 1, patch)
        assert np.array_equal(output(graph), first)
    assert (entry / "graph.onnx").stat().st_mtime_ns != made


@pytest.mark.parametrize("whose", ["another's", "everybody's"])
def test_a_cache_folder_in_which_others_can_exchange_entries_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    graph = chain(tmp_path / "chain.onnx")
    cache.mkdir()
    if whose == "everybody's":
        cache.chmod(0o777)
    else:
        of_another(cache, os.geteuid() + 1, monkeypatch)
    with pytest.raises(BadInput, match="another user could exchange"):
        load_graph(graph, MAPPED)
    assert list(cache.iterdir()) == []


@linux_only
def test_a_cache_folder_that_no_engine_can_open_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / os.fsdecode(b"c\xff")))
    with pytest.raises(BadInput, match="is no UTF-8"):
        load_graph(chain(tmp_path / "chain.onnx"), MAPPED)


def test_what_another_user_says_was_read_is_not_believed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "SETTLED_NS", 0)
    (tmp_path / "file").write_bytes(b"true")
    hashes = known.KnownHashes(tmp_path)
    true = hashes.sha256("file")
    hashes.save()
    (record,) = (cache / "checked").iterdir()
    record.write_bytes(record.read_bytes().replace(true.encode(), b"0" * 64))
    assert known.KnownHashes(tmp_path).sha256("file") == "0" * 64
    record.chmod(0o666)
    assert known.KnownHashes(tmp_path).sha256("file") == true
    record.chmod(0o600)
    of_another(record, os.geteuid() + 1, monkeypatch)
    assert known.KnownHashes(tmp_path).sha256("file") == true


def test_a_cache_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path, cache: Path) -> None:
    graph = chain(tmp_path / "chain.onnx")
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(BadInput, match="--weights packed"):
        load_graph(graph, MAPPED)
    assert cache.read_bytes() == b"a file where the folder should be"


def test_a_damaged_bundle_leaves_nothing_in_the_cache(tmp_path: Path, cache: Path) -> None:
    graph = tmp_path / "broken.onnx"
    graph.write_bytes(b"no graph")
    with pytest.raises(DamagedBundle, match=r"broken\.onnx"):
        load_graph(graph, MAPPED)
    assert entries(cache) == []


@linux_only
def test_pages_that_were_written_to_are_never_given_back(tmp_path: Path) -> None:
    import mmap

    file = tmp_path / "weights.data"
    file.write_bytes(bytes(8 << 20))
    with file.open("r+b") as opened:
        mine = mmap.mmap(opened.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    mine[5 << 20] = 7
    with Streaming(file).while_loading():
        assert sum(mine[:: 1 << 12]) == 7
    assert mine[5 << 20] == 7
    mine[0] = 3  # and it may still be written to


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(streaming.sys, "platform", "darwin")
    with pytest.raises(BadInput, match="mapped"):
        load_graph(tmp_path / "graph.onnx", SessionSettings(weights="streamed"))


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="packed, mapped, streamed"):
        SessionSettings(weights="swapped")  # type: ignore[arg-type]
