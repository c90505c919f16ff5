"""A bundle is written whole or not at all, whatever stops the export."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lira_export.target import Job
from lira_runtime.errors import ParityLost

SMALL = ["--target", "onnx", "--config", "nano", "--latent", "f8c4", "--resolution", "64", "--text-encoder", "demo"]
SMALL += ["--seed", "5"]  # of the shared bundle, which the interrupted export copies
STOPS = [
    pytest.param(ParityLost("denoiser: the graph lost it."), 4, "the graph lost it", id="parity"),
    pytest.param(KeyboardInterrupt(), 130, "interrupted", id="ctrl-c"),
    pytest.param(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2, "the disk is full", id="full-disk"),
]

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(("stop", "code", "sentence"), STOPS)
@pytest.mark.parametrize("replaces", [False, True], ids=["new", "force"])
def test_a_stopped_export_leaves_what_is_done_and_an_old_bundle_whole(
    replaces: bool,
    stop: BaseException,
    code: int,
    sentence: str,
    bundle_folder: Path,
    write_copies: Callable[..., None],
    tmp_path: Path,
    run_export: Run,
) -> None:
    folders: list[Path] = []

    def stop_at_the_second_component(job: Job) -> None:
        folders.append(job.folder)
        if len(folders) == 2:
            raise stop

    out = tmp_path / "bundle"
    if replaces:
        shutil.copytree(bundle_folder, out)
    write_copies(bundle_folder, stop_at_the_second_component)
    found, stdout, err = run_export(*SMALL, "--out", str(out), *(["--force"] if replaces else []))
    assert len(folders) == 2 and out not in folders, "the export must have been under way, beside its goal"
    assert found == code and stdout == ""
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and errors == err.splitlines()[-1:] and sentence in errors[0]
    assert "Traceback" not in err
    left = [".lira-bundle.kept", *(["bundle"] if replaces else [])]  # the first component is done
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    if replaces:
        assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in bundle_folder.iterdir())
        for path in bundle_folder.iterdir():
            assert (out / path.name).read_bytes() == path.read_bytes(), path.name
