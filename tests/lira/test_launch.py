"""The processes that a launcher starts."""

import pytest

from lira.training.launch import Processes
from lira_runtime.errors import BadInput


@pytest.mark.parametrize("version", [None, "1"])
def test_the_first_version_of_fsdp_is_refused_whether_it_is_named_or_the_default(
    monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    monkeypatch.setattr("lira.training.launch.Accelerator", lambda **_: pytest.fail("accelerate was started"))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.delenv("FSDP_VERSION", raising=False)
    if version is not None:
        monkeypatch.setenv("FSDP_VERSION", version)
    with pytest.raises(BadInput, match="fsdp_version: 2"):
        Processes()


@pytest.mark.parametrize("wish", [{"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, {"FSDP_VERSION": "1"}])
def test_the_second_version_and_no_fsdp_are_not(
    monkeypatch: pytest.MonkeyPatch, two_processes: None, wish: dict[str, str]
) -> None:
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    for name, value in wish.items():
        monkeypatch.setenv(name, value)
    assert Processes().rank.count == 2
