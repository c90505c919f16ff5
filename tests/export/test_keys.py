"""A component's key changes with everything that makes it, and with nothing else."""

import os
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import torch

from lira.sources import Models
from lira_export import keys
from lira_export.digests import code_digest, module_digest, tree_digest
from lira_export.keys import component_key, drawing_key
from lira_export.recipes import get_recipe
from lira_export.references import References
from lira_export.targets import make_target
from lira_runtime.interface import COMPONENTS

Keys = dict[str, str]


def keys_of(
    models: Models,
    target: str = "onnx",
    recipe: str = "int8",
    ios: int = 18,
    sides: tuple[int, ...] = (64,),
    **more: str,
) -> Keys:
    references = References(models, sides)
    asked = {"config": "nano", "weights": "packed"} | more
    return {
        name: component_key(name, make_target(target, ios), get_recipe(recipe, target), references=references, **asked)
        for name in COMPONENTS
    }


def changed(before: Keys, after: Keys) -> set[str]:
    return {name for name in COMPONENTS if before[name] != after[name]}


def with_changed_weight(models: Models, role: str) -> Models:
    """The same models, but for one number in one of them."""
    module = deepcopy(getattr(models, role))
    with torch.no_grad():
        next(iter(module.parameters())).view(-1)[-1] += 1e-3
    return replace(models, **{role: module})


def test_a_key_is_the_same_the_next_time_and_after_the_models_ran(small_models: Models) -> None:
    before = keys_of(small_models)
    assert len({*before.values()}) == len(COMPONENTS)
    References(small_models, (64,)).samples("denoiser")
    assert keys_of(small_models) == before and keys_of(deepcopy(small_models)) == before


@pytest.mark.parametrize(
    ("more", "which"),
    [
        ({"config": "tiny"}, {*COMPONENTS}),
        ({"weights": "mapped"}, {*COMPONENTS}),
        ({"target": "tflite"}, {*COMPONENTS}),
        ({"recipe": "int8-dynamic"}, {"denoiser"}),
        ({"recipe": "fp16"}, {*COMPONENTS}),
        ({"sides": (64, 128)}, {"denoiser", "decoder"}),
        ({"sides": (128,)}, {"denoiser", "decoder"}),
    ],
)
def test_what_is_asked_for_is_in_the_keys_that_it_bears_on(
    more: dict[str, object], which: set[str], small_models: Models
) -> None:
    assert changed(keys_of(small_models), keys_of(small_models, **more)) == which


def test_ios_is_in_core_mls_keys(small_models: Models) -> None:
    assert changed(keys_of(small_models, "coreml", ios=17), keys_of(small_models, "coreml")) == {*COMPONENTS}


@pytest.mark.parametrize(
    ("target", "role", "which"),
    [
        ("onnx", "decoder", {"decoder"}),
        ("onnx", "denoiser", {"denoiser"}),
        ("onnx", "text_encoder", {"text_encoder", "denoiser"}),
        ("coreml", "decoder", {"decoder"}),
        ("coreml", "denoiser", {"denoiser", "decoder"}),
        ("coreml", "text_encoder", {*COMPONENTS}),
    ],
)
def test_one_weight_is_in_the_keys_of_what_is_made_or_calibrated_with_it(
    target: str, role: str, which: set[str], small_models: Models
) -> None:
    other = with_changed_weight(small_models, role)
    assert changed(keys_of(small_models, target), keys_of(other, target)) == which


def test_the_sampler_the_latent_and_the_source_are_in_the_keys_of_what_reads_them(small_models: Models) -> None:
    few = replace(small_models, sampler=msgspec.structs.replace(small_models.sampler, steps=4))
    assert changed(keys_of(small_models), keys_of(few)) == {"denoiser"}
    brighter = replace(small_models, kind=replace(small_models.kind, scaling=2.0))
    assert changed(keys_of(small_models), keys_of(brighter)) == {*COMPONENTS}
    source = msgspec.structs.replace(small_models.source, digest="1" * 64)
    elsewhere = replace(small_models, source=source)
    assert changed(keys_of(small_models), keys_of(elsewhere)) == set()
    assert changed(keys_of(small_models, "coreml"), keys_of(elsewhere, "coreml")) == {*COMPONENTS}


@pytest.mark.parametrize("role", COMPONENTS)
def test_the_eager_drawings_key_changes_with_every_model_the_sampler_and_the_first_size(
    role: str, small_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawing_key(References(small_models, (64,)))
    assert drawing_key(References(small_models, (64, 128))) == before
    few = replace(small_models, sampler=msgspec.structs.replace(small_models.sampler, steps=4))
    others = [References(with_changed_weight(small_models, role), (64,)), References(few, (64,))]
    others.append(References(small_models, (128, 64)))
    assert before not in [drawing_key(each) for each in others]
    monkeypatch.setattr(keys, "code_digest", lambda: "0" * 64)
    assert drawing_key(References(small_models, (64,))) != before


@pytest.mark.parametrize("tool", ["torch", "onnxsim", "onnxruntime"])
def test_the_versions_of_the_tools_are_in_every_key(
    tool: str, small_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys_of(small_models)
    honest = keys.metadata.version
    newer = SimpleNamespace(
        version=lambda name: "99" if name == tool else honest(name),
        PackageNotFoundError=keys.metadata.PackageNotFoundError,
    )
    monkeypatch.setattr(keys, "metadata", newer)
    assert changed(before, keys_of(small_models)) == {*COMPONENTS}


def test_pythons_version_the_kind_of_machine_and_the_code_are_in_every_key(
    small_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys_of(small_models)
    for name in ("python_version", "machine"):
        monkeypatch.setattr(f"platform.{name}", lambda: "other")
        assert changed(before, keys_of(small_models)) == {*COMPONENTS}
        monkeypatch.undo()
    monkeypatch.setattr(keys, "sys", SimpleNamespace(platform="other"))
    assert changed(before, keys_of(small_models)) == {*COMPONENTS}
    monkeypatch.undo()
    monkeypatch.setattr(keys, "code_digest", lambda: "0" * 64)
    assert changed(before, keys_of(small_models)) == {*COMPONENTS}


@pytest.mark.parametrize("package", ["lira", "lira_export", "lira_runtime"])
@pytest.mark.parametrize("name", ["layers.py", "table.toml", "merges.txt.gz"])
def test_code_counts_by_its_content_alone(
    package: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / each for each in ("lira", "lira_export", "lira_runtime")]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / name).write_text("a = 1\n")
    before, file = tree_digest(folders), tmp_path / package / "deep" / name
    os.utime(file, (1, 1))
    (file.parent / "notes.txt").write_text("")
    shutil.copytree(tmp_path / "lira", tmp_path / "elsewhere" / "lira")
    assert tree_digest(folders) == before == tree_digest([tmp_path / "elsewhere" / "lira", *folders[1:]])
    file.write_text("a = 2\n")
    after = tree_digest(folders)
    file.write_text("a = 1\n")
    file.rename(file.with_name(f"b_{name}"))
    assert len({before, after, tree_digest(folders)}) == 3


def test_the_code_is_that_of_all_three_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    monkeypatch.setattr("lira_export.digests.tree_digest", lambda folders: seen.extend(folders))
    code_digest.__wrapped__()
    assert [(folder.name, (folder / "__init__.py").is_file()) for folder in seen] == [
        ("lira", True),
        ("lira_export", True),
        ("lira_runtime", True),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda module: setattr(module, "stride", (2, 2)),
        lambda module: setattr(module, "config", {"scaling_factor": 2.0}),
        lambda module: module.register_buffer("table", torch.ones(2), persistent=False),
        lambda module: module.register_buffer("shift", torch.ones(2)),
        lambda module: module.double(),
        lambda module: setattr(module, "__class__", torch.nn.ConvTranspose2d),
    ],
)
def test_what_a_module_is_counts_and_not_only_its_weights(change: Callable[[torch.nn.Module], object]) -> None:
    module = torch.nn.Conv2d(2, 2, 3)
    before = module_digest(module)
    assert module_digest(deepcopy(module)) == before
    change(module)
    assert module_digest(module) != before
