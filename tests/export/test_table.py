"""The table that an export prints, line by line."""

from pathlib import Path

from msgspec import structs
from toy_bundle import write_toy_bundle

from lira_export.table import contents_table
from lira_runtime import manifest as m


def written(tmp_path: Path) -> m.Manifest:
    """The toy bundle's manifest under a denoiser with figures that are easy to recognise."""
    write_toy_bundle(tmp_path / "bundle")
    toy = m.load(tmp_path / "bundle")
    text_encoder, denoiser, decoder = toy.components
    files = tuple(
        structs.replace(file, bytes=size) for file, size in zip(denoiser.files, (250_000, 2_000_000), strict=True)
    )
    contents = m.Contents(
        ops={"MatMulInteger": 5, "Add": 2},
        products={"float32": 1, "int8": 5},
        weight_bytes={"float32": 340_000, "int8": 1_960_000},
        loaded_bytes=7_400_000,
        kept_float32=("a", "b"),
    )
    parity = structs.replace(denoiser.parity, psnr_db=41.26, cosine=0.999964)
    changed = structs.replace(denoiser, recipe="int8", files=files, contents=contents, parity=parity)
    drawn = m.Trajectory(
        prompt="a cat",
        seed=0,
        steps=3,
        guidance=4.5,
        drift_db=(50.04, 47.0, 44.96),
        image_psnr_db=38.25,
        threshold_db=30.0,
        passed=True,
    )
    return structs.replace(toy, components=(text_encoder, changed, decoder), trajectory=drawn)


def test_a_line_for_each_component_one_for_kept_floats_and_one_for_the_drawing(tmp_path: Path) -> None:
    target, head, text_encoder, denoiser, decoder, kept, drawing = contents_table(written(tmp_path))
    assert target == "onnx:"
    starts = [head.index(title) for title in ("component", "recipe", "weights in", "products by", "loaded MB", "PSNR")]
    cells = [denoiser[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
    assert cells[0] == "denoiser" and cells[1].split() == ["int8", "2.2"]
    assert cells[2:5] == ["float32 0.3, int8 2.0 MB", "float32 1, int8 5", "7"]
    assert cells[5].split() == ["41.3", "0.99996"]
    assert text_encoder.startswith("text_encoder") and "not here" in text_encoder and "none" in text_encoder
    assert decoder.split()[:2] == ["decoder", "fp32"]
    assert kept == "tensors kept in float32: 2 of the denoiser"
    assert drawing == (
        "3 steps, guidance 4.5: latent 50.0 dB after the first step, 45.0 dB after the last; "
        "picture 38.2 dB against eager"
    )


def test_a_partial_bundle_of_integers_has_neither(tmp_path: Path) -> None:
    bare = structs.replace(written(tmp_path), trajectory=None)
    plain = structs.replace(bare.components[1], contents=structs.replace(bare.components[1].contents, kept_float32=()))
    lines = contents_table(structs.replace(bare, components=(plain,), partial=True))
    assert [line.split()[0] for line in lines] == ["onnx:", "component", "denoiser"]
