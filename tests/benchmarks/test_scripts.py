"""Every script's core on nano and tiny peers: it runs, and what it counts agrees with the models' own sizes."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from event_lines import read_events
from msgspec import structs
from onnx import TensorProto, helper
from PIL import Image

import ablations
import bundles
import decoder
import denoiser
import op_profile
import peers
import picture
import products
import recipes
import report
import scaling
import text_encoder
from case import Case, older_than_code
from lira.model import LiRAModel, wake_zero_weights
from lira.presets import get_preset
from lira.sources import Request
from lira_export.rewrite.denoiser import TraceableScan, traceable_denoiser
from lira_runtime.backends import choose
from lira_runtime.bundle import Bundle


def test_denoiser_compares_step_eager_and_sana(nano: Case, tiny_sana: dict[str, Any], cache: Path):
    found = denoiser.measure(nano, rounds=2, sana=tiny_sana)
    assert found["SANA int8 step / int8 step"] == pytest.approx(found["SANA int8 step ms"] / found["int8 step ms"])
    assert found["int8 step / int8 GEMM floor"] == pytest.approx(found["int8 step ms"] / found["int8 GEMM floor ms"])
    assert list(cache.glob("sana-4-*/graph.onnx")), "SANA is run on the 4 x 4 tokens that the bundle has"


def test_sana_prompt_is_a_part_of_its_step():
    # By hand: width 1152, 300 tokens; the projection from 2304, then 28 blocks of keys and values.
    by_hand = 2 * 300 * (2304 * 1152 + 1152 * 1152 + 28 * 2 * 1152 * 1152) / 1e9
    assert peers.sana_prompt_gflop() == pytest.approx(by_hand)


def test_text_encoder_counts_the_products_of_its_layers(nano: Case):
    found = text_encoder.measure(nano, rounds=2)
    layers, width = 4, 192
    layer = 2 * 77 * (4 * width**2 + 2 * width * 4 * width)
    expand = 2 * 77 * 32 * width  # the demo's token table is factored
    assert found["text encoder GFLOP"] == pytest.approx((layers * layer + expand) / 1e9, rel=0.1)
    assert found["of it integer products GFLOP"] == pytest.approx((layers * layer + expand) / 1e9)


def test_decoder_compares_time_and_memory_with_both_forms_of_taesd(nano: Case, tiny_taesd: dict[str, Any], cache: Path):
    found = decoder.measure(nano, rounds=1, repeats=1, taesd=tiny_taesd)
    for form in ("fp32", "int8"):
        assert found[f"time, TAESD {form} / decoder"] == pytest.approx(found[f"TAESD {form} ms"] / found["decoder ms"])
        assert found[f"TAESD {form} MB over idle"] > 0
    # A picture alone, 64 x 64 x 3 floats, has to be there.
    assert found["decoder MB over idle"] > 64 * 64 * 3 * 4 / 1e6


def test_picture_runs_the_pipeline_and_counts_two_passes_a_step(nano: Case):
    found = picture.measure(nano, steps=3)
    assert found["denoiser passes"] == 6
    assert found["picture s"] == pytest.approx(sum(found[f"{p} s"] for p in ("text_encoder", "denoiser", "decoder")))


def test_bundles_are_drawn_as_their_manifests_say(nano: Case, monkeypatch: pytest.MonkeyPatch):
    def drawn_in(steps: int, guidance: float) -> Bundle:
        sampler = structs.replace(nano.bundle.manifest.sampler, steps=steps, guidance=guidance)
        return replace(nano.bundle, manifest=structs.replace(nano.bundle.manifest, sampler=sampler))

    def counted(*asked: Any) -> Any:
        backend, number = choose.backend_for(*asked), len(runs)
        run = backend.run
        runs.append(0)

        def count(inputs: Any) -> Any:
            runs[number] += 1
            return run(inputs)

        backend.run = count
        return backend

    runs: list[int] = []
    monkeypatch.setattr(bundles, "backend_for", counted)
    both = {"many": drawn_in(steps=5, guidance=2.0), "two": drawn_in(steps=2, guidance=1.0)}
    rows = bundles.measure(both, threads=1, rounds=2)
    assert [row["passes"] for row in rows] == [10, 2]
    pictures = 3  # the first warms up; each takes the text encoder and the decoder once
    assert runs == [pictures * (10 + 2), pictures * (2 + 2)]
    assert all(row["picture ms"] > row["denoiser ms"] > 0 for row in rows)


def test_scaling_leaves_sana_out_above_its_limit_and_draws(
    nano: Case, tiny_sana: dict[str, Any], cache: Path, tmp_path: Path
):
    (with_sana,) = scaling.measure([nano], repeats=1, sana_up_to=16, sana=tiny_sana)
    (without,) = scaling.measure([nano], repeats=1, sana_up_to=15, sana=tiny_sana)
    assert with_sana["SANA ms"] > 0 and without["SANA ms"] is None
    rows = [with_sana, {**without, "tokens": 64, "ms": 3 * with_sana["ms"]}]
    assert scaling.growth(rows) == {"time at 64 tokens / at 16": pytest.approx(3)}
    scaling.draw(rows, tmp_path / "scaling.png")
    assert np.asarray(Image.open(tmp_path / "scaling.png")).std() > 0


def test_products_measure_every_form_of_every_shape_of_a_block():
    rows = products.measure("nano", rows=16, threads=2, rounds=1)
    assert [(row["in"], row["out"]) for row in rows] == [(192, 288), (192, 64), (288, 192), (192, 768), (768, 192)]
    assert all(row[form] > 0 for row in rows for form in ("float32", "u8 x s8", "s8 x s8", "dynamic", "uint8 out"))


def test_every_form_of_a_product_multiplies_the_same_matrices():
    made = products.forms(3, 64, 8, threads=1)
    plain, shifted, signed = (made[form]()[0].astype(np.float64) for form in ("u8 x s8", "u8 x u8", "s8 x s8"))
    x = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    x_u8 = (x * 30 + 128).clip(0, 255).astype(np.uint8).astype(np.float64)
    assert np.array_equal(shifted - plain, np.repeat(127 * x_u8.sum(1, keepdims=True), 8, axis=1))
    assert np.corrcoef(made["float32"]()[0].ravel(), signed.ravel())[0, 1] > 0.999
    assert np.corrcoef(made["float32"]()[0].ravel(), made["dynamic"]()[0].ravel())[0, 1] > 0.999


@pytest.mark.slow
def test_recipes_compare_time_closeness_and_size_of_every_variant(nano: Case, tmp_path: Path):
    rows = recipes.measure(nano.models, tmp_path / "work", threads=2, rounds=1, steps=2)
    by_name = {row["recipe"]: row for row in rows}
    assert set(by_name) == {name for name, _ in recipes.variants()}
    assert by_name["fp32"]["worst dB"] > 100 > by_name["int8"]["worst dB"] > 20
    assert by_name["int8"]["MB"] < by_name["int8, AdaLN float"]["MB"] < by_name["fp32"]["MB"]
    assert not (tmp_path / "work").exists()


def test_profile_counts_the_operators_of_a_graph(tmp_path: Path):
    graph = _two_products_and_a_sine(tmp_path)
    rows = op_profile.table(op_profile.profile(graph, threads=1, runs=3))
    assert {row["operator"]: row["count"] for row in rows} == {"MatMul": 2, "Sin": 1}
    assert sum(row["share %"] for row in rows) == pytest.approx(100)
    found = op_profile.totals(rows)
    of_products = next(row["share %"] for row in rows if row["operator"] == "MatMul")
    assert found["integer GEMMs ms"] == 0 and found["all GEMMs %"] == pytest.approx(of_products)
    op_profile.draw(rows, "a title", tmp_path / "profile.png")
    assert np.asarray(Image.open(tmp_path / "profile.png")).std() > 0


def test_profile_of_the_denoiser_finds_its_integer_products(nano: Case):
    rows = op_profile.table(op_profile.profile(nano.graph("denoiser"), threads=2, runs=2))
    assert op_profile.totals(rows)["integer GEMMs ms"] > 0


def test_a_report_is_a_table_or_one_event(capsys: pytest.CaptureFixture[str]):
    rows = [{"tokens": 16, "ms": 1.25, "peer": None}]
    report.show_rows("title", rows, {"ceiling": 2.0}, as_json=True)
    (found,) = read_events(capsys.readouterr().out)
    assert (found["title"], found["rows"], found["figures"]) == ("title", rows, {"ceiling": 2.0})
    report.show_rows("title", rows, {"ceiling": 2.0}, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["title"], ["ceiling", "2.00"], ["tokens", "ms", "peer"], ["16", "1.2", "-"]]


def test_a_bundle_that_the_code_has_outlived_is_noticed(tmp_path: Path):
    manifest = tmp_path / "manifest.json"
    manifest.touch()
    assert not older_than_code(tmp_path)
    os.utime(manifest, (0, 0))
    assert older_than_code(tmp_path)


@pytest.mark.parametrize("script", [decoder, denoiser, op_profile, picture, scaling, text_encoder])
def test_a_wrong_value_is_one_sentence(
    script: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.argv", ["script", "--threads", "none"])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def _two_products_and_a_sine(folder: Path) -> Path:
    shape = [64, 64]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "x"], ["a"]),
            helper.make_node("Sin", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "x"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    path = folder / "graph.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@torch.no_grad()
@pytest.mark.parametrize("name", ["streams in place of readings", "AdaLN inside layer norm (not kept)"])
def test_a_form_that_lacks_a_change_computes_what_the_model_does(name: str):
    torch.manual_seed(0)
    eager = LiRAModel("nano", in_channels=4, d_text=32, patch_size=2).eval()
    wake_zero_weights(eager)
    for parameter_name, parameter in eager.named_parameters():
        if parameter_name.endswith(("matrix", "skip")):
            parameter.add_(0.2 * torch.randn_like(parameter))
    inputs = (torch.randn(1, 4, 8, 12), torch.rand(1), torch.randn(1, 77, 32))
    with ablations.applied(ablations.FORMS[name], "nano"):
        found = traceable_denoiser(eager, (8, 12))(*inputs)[0]
    assert float((found - eager(*inputs)[0]).abs().max()) <= 1e-4


@torch.no_grad()
def test_a_raster_order_lets_a_row_see_the_one_before_it():
    scan = TraceableScan(get_preset("nano"), segment_sums=False)
    u = torch.randn(1, 3, 5, 192)
    changed = u.clone()
    changed[0, 0, 4] += 1.0
    rows = (lambda x: scan(x)[0, 1, 0], lambda x: ablations.scan_in_raster_order(scan, x)[0, 1, 0])
    own, raster = (float((row(changed) - row(u)).abs().max()) for row in rows)
    assert own == 0 and raster > 0


@pytest.mark.slow
def test_ablations_time_every_form_beside_the_full_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    some = {name: ablations.FORMS[name] for name in (ablations.FULL, "arena off")}
    monkeypatch.setattr(ablations, "FORMS", some)
    request = Request("nano", latent="f8c4", resolution=64, text_encoder="demo", seed=5)
    rows = ablations.measure(request, tmp_path / "work", threads=2, rounds=1)
    assert [row["form"] for row in rows] == list(some) and rows[0]["saved ms"] == 0
    assert not (tmp_path / "work").exists()
