"""What tests of a bundle's trust do to it, and how they read what `lira-verify` found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from toy_bundle import entry

from lira_runtime import manifest as m

FILES = (
    *(f"{name}.onnx{end}" for name in ("text_encoder", "denoiser", "decoder") for end in ("", ".data")),
    *(f"golden-{name}.f32" for name in ("text_encoder", "denoiser", "decoder")),
    "empty_prompt.f32",
    "tokenizer.json",
)
"""Of the toy bundle, beside its manifest."""
Checks = list[dict[str, Any]]
Verify = Callable[..., tuple[int, Checks, str]]


def failures(checks: Checks) -> list[tuple[str, str, str]]:
    return [(each["check"], each["subject"], each["code"]) for each in checks if each["status"] == "failed"]


def rewrite(bundle: Path, change: Callable[[m.Manifest], m.Manifest]) -> None:
    m.save(change(m.load(bundle)), bundle)


def with_true_hashes(manifest: m.Manifest, bundle: Path) -> m.Manifest:
    """The manifest as one would forge it: sizes and SHA-256 of the components' files as they are now."""
    return msgspec.structs.replace(
        manifest,
        components=tuple(
            msgspec.structs.replace(part, files=tuple(entry(bundle / file.path) for file in part.files))
            for part in manifest.components
        ),
    )
