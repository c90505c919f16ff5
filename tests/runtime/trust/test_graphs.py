"""`lira-verify` on graphs that are not what the manifest says, in bundles whose hashes are forged to fit."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from forgery import FILES, Verify, failures, rewrite, with_true_hashes
from onnx import TensorProto, helper
from toy_bundle import write_toy_bundle

from lira_runtime import manifest as m
from lira_runtime.trust.graphs import golden_threshold_db


def test_components_in_each_others_place_are_found_even_with_true_hashes(toy_bundle: Path, verify: Verify) -> None:
    for end in ("", ".data"):
        one, other = (toy_bundle / f"{name}.onnx{end}" for name in ("denoiser", "decoder"))
        kept = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(kept)
    found = [name for check, name, _ in failures(verify(toy_bundle)[1]) if check == "file"]
    assert found == ["denoiser.onnx", "decoder.onnx"], "their weights are the same ballast"
    rewrite(toy_bundle, lambda manifest: with_true_hashes(manifest, toy_bundle))
    code, checks, _ = verify(toy_bundle)
    refused = [("tensors", f"{name}.onnx", "graph_refused") for name in ("denoiser", "decoder")]
    assert code == 5 and set(refused) <= set(failures(checks))


def test_weights_outside_of_the_bundle_are_not_read(toy_bundle: Path, tmp_path: Path, verify: Verify) -> None:
    (toy_bundle / "decoder.onnx.data").rename(tmp_path / "decoder.onnx.data")
    for place in ("../decoder.onnx.data", str(tmp_path / "decoder.onnx.data")):
        model = onnx.load(toy_bundle / "decoder.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            for pair in tensor.external_data:
                if pair.key == "location":
                    pair.value = place
        onnx.save(model, toy_bundle / "decoder.onnx")
        (toy_bundle / "decoder.onnx.data").write_bytes(b"")
        rewrite(toy_bundle, lambda manifest: with_true_hashes(manifest, toy_bundle))
        code, checks, _ = verify(toy_bundle)
        assert code == 5 and failures(checks)[0] == ("tensors", "decoder.onnx", "graph_refused"), checks


def test_what_files_hold_must_be_what_the_manifest_counts_and_the_recipe_allows(
    toy_bundle: Path, verify: Verify
) -> None:
    def declared(**change: Any) -> Callable[[m.Manifest], m.Manifest]:
        def change_decoder(manifest: m.Manifest) -> m.Manifest:
            *others, decoder = manifest.components
            contents = msgspec.structs.replace(decoder.contents, **change)
            return msgspec.structs.replace(manifest, components=(*others, replaced(decoder, contents=contents)))

        return change_decoder

    def replaced(component: m.Component, **change: Any) -> m.Component:
        return msgspec.structs.replace(component, **change)

    true = m.load(toy_bundle)
    for change in ({"ops": {}}, {"products": {"int8": 3}}, {"weight_bytes": {"int8": 16384}}):
        rewrite(toy_bundle, declared(**change))
        code, checks, _ = verify(toy_bundle)
        assert code == 5 and failures(checks) == [("contents", "decoder", "contents_differ")]
        m.save(true, toy_bundle)
    *others, decoder = true.components
    m.save(msgspec.structs.replace(true, components=(*others, replaced(decoder, recipe="int8"))), toy_bundle)
    code, checks, _ = verify(toy_bundle)
    assert code == 5 and failures(checks) == [("contents", "decoder", "not_quantized")]


def test_an_op_whose_name_is_no_text_is_a_difference_like_others(toy_bundle: Path, verify: Verify) -> None:
    path = toy_bundle / "decoder.onnx"
    path.write_bytes(path.read_bytes().replace(b"Resize", b"Res\xffze"))
    rewrite(toy_bundle, lambda manifest: with_true_hashes(manifest, toy_bundle))
    code, checks, _ = verify(toy_bundle)
    assert code == 5 and ("contents", "decoder", "contents_differ") in failures(checks)
    (said,) = (each["said"] for each in checks if each["subject"] == "decoder")
    assert said == r"ops are not those that the manifest counts: Resize 0, not 1."


@pytest.mark.parametrize(("parity_db", "asked_db"), [(150.0, 40.0), (46.1, 40.0), (45.9, 39.88), (30.0, 23.98)])
def test_a_golden_output_is_to_reach_6_db_less_than_parity_and_40_at_most(parity_db: float, asked_db: float) -> None:
    parity = m.Parity(float32_max_abs=None, psnr_db=parity_db, cosine=1.0, threshold_db=20.0, passed=True)
    assert golden_threshold_db(parity) == pytest.approx(asked_db, abs=0.005)


def test_a_graph_that_computes_something_else_is_found_by_its_golden_output(
    toy_bundle: Path, tmp_path: Path, verify: Verify
) -> None:
    for gain, wanted in ((1.001, []), (1.1, [("golden", "denoiser.onnx", "golden_differs")])):
        write_toy_bundle(tmp_path / f"{gain}", gain)
        for end in ("", ".data"):
            shutil.copy(tmp_path / f"{gain}" / f"denoiser.onnx{end}", toy_bundle)
        rewrite(toy_bundle, lambda manifest: with_true_hashes(manifest, toy_bundle))
        assert verify(toy_bundle)[0] == 0, "nothing but its golden run tells"
        code, checks, _ = verify(toy_bundle, "--deep")
        assert (code, failures(checks)) == (5 if wanted else 0, wanted), "60 and 20 dB, and the peak over the RMS"


def with_parity(bundle: Path, psnr_db: float, threshold_db: float) -> None:
    """Have the manifest say this of the denoiser and of the drawing, honestly."""

    def change(manifest: m.Manifest) -> m.Manifest:
        text, denoiser, decoder = manifest.components
        said = {"threshold_db": threshold_db, "passed": psnr_db >= threshold_db}
        parity = msgspec.structs.replace(denoiser.parity, psnr_db=psnr_db, **said)
        drawn = m.Trajectory(
            prompt="",
            seed=0,
            steps=1,
            guidance=1,
            drift_db=(),
            image_psnr_db=psnr_db,
            threshold_db=threshold_db,
            passed=said["passed"],
        )
        denoiser = msgspec.structs.replace(denoiser, parity=parity)
        return msgspec.structs.replace(manifest, components=(text, denoiser, decoder), trajectory=drawn)

    rewrite(bundle, change)


def test_parity_that_the_manifest_itself_says_was_lost_is_a_failure_of_its_own(
    toy_bundle: Path, verify: Verify
) -> None:
    with_parity(toy_bundle, 35, 35)
    code, checks, _ = verify(toy_bundle)
    assert code == 0 and not [each for each in checks if each["check"] == "parity"]
    with_parity(toy_bundle, 34.5, 35)
    code, checks, _ = verify(toy_bundle)
    assert code == 5 and failures(checks) == [("parity", name, "parity_lost") for name in ("denoiser", "picture")]
    assert "34.5 dB against the eager model at export, 35.0 dB were needed" in checks[-1]["said"]


def test_a_manifest_that_says_little_of_parity_asks_no_less_of_a_golden_run(
    toy_bundle: Path, tmp_path: Path, verify: Verify
) -> None:
    write_toy_bundle(tmp_path / "other", 3.0)
    for end in ("", ".data"):
        shutil.copy(tmp_path / "other" / f"denoiser.onnx{end}", toy_bundle)
    rewrite(toy_bundle, lambda manifest: with_true_hashes(manifest, toy_bundle))
    with_parity(toy_bundle, -200, -200)
    code, checks, _ = verify(toy_bundle, "--deep")
    assert code == 5 and failures(checks) == [("golden", "denoiser.onnx", "golden_differs")]


def test_what_was_asked_for_and_cannot_be_done_is_not_passed_over(tmp_path: Path, verify: Verify) -> None:
    write_toy_bundle(tmp_path / "bundle", np.inf)  # without golden outputs
    assert verify(tmp_path / "bundle")[0] == 0
    code, checks, sentence = verify(tmp_path / "bundle", "--deep")
    assert code == 2 and not failures(checks)
    assert "the golden check cannot be made here: the bundle stores no output of it" in sentence


def test_a_partial_bundle_is_checked_as_far_as_it_goes(toy_bundle: Path, verify: Verify) -> None:
    whole = m.load(toy_bundle)
    part = whole.components[2:]
    m.save(msgspec.structs.replace(whole, components=part, empty_prompt=None, partial=True), toy_bundle)
    for name in FILES:
        if not name.startswith(("decoder", "golden-decoder", "tokenizer")):
            (toy_bundle / name).unlink()
    code, checks, _ = verify(toy_bundle, "--deep")
    assert code == 0 and [each["subject"] for each in checks if each["check"] == "golden"] == ["decoder.onnx"]


def test_a_graph_with_other_tensors_is_refused(toy_bundle: Path, verify: Verify) -> None:
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8]) for name in ("latent", "image")]
    graph = helper.make_graph([helper.make_node("Identity", ["latent"], ["image"])], "g", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, toy_bundle / "decoder.onnx")
    rewrite(toy_bundle, lambda manifest: with_true_hashes(manifest, toy_bundle))
    (found,) = (
        each for each in verify(toy_bundle)[1] if each["subject"] == "decoder.onnx" and each["check"] == "tensors"
    )
    assert found["code"] == "graph_refused" and "outputs of the graph decoder.onnx are not those" in found["said"]
