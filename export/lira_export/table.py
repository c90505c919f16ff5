"""What a bundle holds, as the table that an export prints: the same for all three formats."""

from lira_runtime.manifest import Component, Manifest

HEAD = ("component", "recipe", "MB", "weights in the file", "products by weight", "loaded MB", "PSNR dB", "cosine")


def contents_table(manifest: Manifest) -> list[str]:
    """Lines: one for each component, the drawing's drift, and the floats that a float16 graph keeps."""
    rows = [HEAD, *(_row(component) for component in manifest.components)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [f"{manifest.target}:", *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)]
    kept = {component.name: len(component.contents.kept_float32) for component in manifest.components}
    if any(kept.values()):
        names = ", ".join(f"{count} of the {name}" for name, count in kept.items() if count)
        lines.append(f"tensors kept in float32: {names}")
    if manifest.trajectory is not None:
        drawn = manifest.trajectory
        first, last = drawn.drift_db[0], drawn.drift_db[-1]
        lines.append(
            f"{drawn.steps} steps, guidance {drawn.guidance:g}: latent {first:.1f} dB after the first step, "
            f"{last:.1f} dB after the last; picture {drawn.image_psnr_db:.1f} dB against eager"
        )
    return lines


def _row(component: Component) -> tuple[str, ...]:
    contents = component.contents
    loaded = "not here" if contents.loaded_bytes is None else f"{contents.loaded_bytes / 1e6:.0f}"
    return (
        component.name,
        component.recipe,
        f"{sum(file.bytes for file in component.files) / 1e6:.1f}",
        _counts({dtype: f"{size / 1e6:.1f}" for dtype, size in contents.weight_bytes.items()}) + " MB",
        _counts({dtype: str(count) for dtype, count in contents.products.items()}),
        loaded,
        f"{component.parity.psnr_db:.1f}",
        f"{component.parity.cosine:.5f}",
    )


def _counts(counts: dict[str, str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
