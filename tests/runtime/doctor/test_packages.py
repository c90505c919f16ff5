"""Python and packages: what is wrong is named, and the command that mends it installs what was tested."""

import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lira_runtime.doctor import packages
from lira_runtime.doctor.tested import APART, installed, read_tested, requirements

ROOT = Path(__file__).parents[3]
Doctor = Callable[..., tuple[int, list[dict[str, Any]]]]
Install = Callable[[Mapping[str, str | None]], None]


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Other versions than are installed; None for what is not."""

    def set_versions(others: Mapping[str, str | None]) -> None:
        honest = packages.version_of
        monkeypatch.setattr(packages, "version_of", lambda name: others[name] if name in others else honest(name))

    return set_versions


def test_the_committed_versions_are_those_of_this_environment_and_of_the_constraints() -> None:
    committed = read_tested()
    assert committed.packages == installed(), "make tested"
    assert committed.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert committed.packages.items() <= constraints.items()


def test_every_package_that_the_project_names_is_in_the_matrix() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [lines for name, lines in project["optional-dependencies"].items() if name not in APART]
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    assert {canonicalize_name(Requirement(line).name) for line in lines} <= read_tested().packages.keys()


def test_requirements_are_those_of_the_base_or_of_what_an_extra_adds() -> None:
    assert {each.name for each in requirements("sign")} == {"cryptography"}
    base = {each.name for each in requirements()}
    assert {"numpy", "onnxruntime"} <= base and "torch" not in base


def test_a_whole_environment_has_no_finding_of_packages(doctor: Doctor) -> None:
    code, found = doctor()
    assert code == 0 and not [each for each in found if each["check"] in ("python", "package", "extra")]


def test_a_version_that_is_not_asked_for_is_a_problem_and_the_tested_one_mends_it(
    doctor: Doctor, having: Install
) -> None:
    having({"torch": "2.12.0"})
    code, found = doctor("--target", "onnx", "--config", "nano")
    assert code == 2
    (torch,) = [each for each in found if each["check"] == "package"]
    assert torch["level"] == "problem" and torch["said"] == "torch 2.12.0 is installed, ==2.13.0 is needed"
    python, dash, module, install, what, flag, constraints = shlex.split(torch["mend"])
    assert (python, dash, module, install, what, flag) == (
        sys.executable,
        "-m",
        "pip",
        "install",
        "torch==2.13.0",
        "-c",
    )
    assert "torch==2.13.0" in Path(constraints).read_text().splitlines()


def test_a_build_of_the_tested_version_for_other_hardware_is_that_version(doctor: Doctor, having: Install) -> None:
    having({"torch": "2.13.0+cpu"})
    assert not [each for each in doctor()[1] if each["check"] == "package"]


def test_a_version_that_is_allowed_and_was_not_tested_is_a_notice(doctor: Doctor, having: Install) -> None:
    having({"msgspec": "0.99.0"})
    code, found = doctor()
    (each,) = [each for each in found if each["check"] == "package"]
    assert code == 0 and (each["level"], each["said"]) == (
        "notice",
        f"msgspec 0.99.0 should do; tested is {read_tested().packages['msgspec']}",
    )


def test_what_a_target_lacks_is_a_problem_for_that_target_alone(doctor: Doctor, having: Install) -> None:
    having({"coremltools": None})
    code, found = doctor("--target", "coreml", "--config", "nano")
    (lacking,) = [each for each in found if each["check"] == "extra"]
    assert code == 2 and lacking["said"] == "extra coreml lacks coremltools"
    assert "pip install coremltools==9.0 -c " in lacking["mend"]
    code, found = doctor("--target", "onnx", "--config", "nano")
    assert not [each for each in found if each["check"] == "extra"]
    code, found = doctor()
    assert [(each["check"], each["level"]) for each in found if each["check"] == "extra"] == [("extra", "notice")]


@pytest.mark.parametrize(("version", "level"), [((3, 10, 1), "problem"), ((3, 12, 1), "notice")])
def test_python_is_one_that_is_allowed_or_a_problem_and_the_tested_one_or_a_notice(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], level: str
) -> None:
    monkeypatch.setattr(packages.sys, "version_info", version)
    code, found = doctor()
    (python,) = [each for each in found if each["check"] == "python"]
    assert python["level"] == level and python["mend"].startswith("python3.11 -m venv .venv && ")
