"""Weights and training states as safetensors; never pickle."""

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lira.fits import check_finite, check_fits
from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write

ROW_SCALE = ".row_scale"
"""NAME.row_scale holds the scales (rows,) float32 of a matrix NAME that is stored as int8."""

MOST_TENSORS = 1 << 16
"""Of a file that is read: a million empty ones fit a small file, and would take minutes."""


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write `tensors` and text `metadata` to `path`, whole or not at all."""
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as part:
        try:
            save_file(packed, part, dict(metadata or {}))
        except SafetensorError as error:  # how the library reports a full disk
            raise BadInput(f"{path} could not be written: {error}.") from error


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read (tensors, metadata). Raises BadInput when the file is missing, or is no safetensors file that we write."""
    with _open(path) as file:
        names = file.keys()
        if len(names) > MOST_TENSORS:
            raise BadInput(f"{path} holds {len(names)} tensors, {MOST_TENSORS} are the most of a file of weights.")
        return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})


def save_module(
    module: nn.Module,
    path: str | os.PathLike[str],
    dtype: torch.dtype,
    metadata: Mapping[str, str] | None = None,
    int8_rows: Collection[str] = (),
) -> None:
    """Write a module's parameters and buffers; floating ones as `dtype`, the matrices in `int8_rows` as int8.

    An int8 matrix has a scale for each row, its largest value / 127: what lira-export makes of a weight, so a bundle
    that quantizes these matrices loses nothing more by it.
    """
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in module.state_dict().items()}
    for name in int8_rows:
        weight = module.state_dict()[name].float()
        scale = (weight.abs().amax(1) / 127).clamp_min(1e-14)
        state |= {name: (weight / scale[:, None]).round().to(torch.int8), name + ROW_SCALE: scale}
    save_tensors(path, state, metadata)


def load_module(module: nn.Module, path: str | os.PathLike[str]) -> dict[str, str]:
    """Fill `module` from `path` (cast to its own dtypes) and return the metadata.

    Raises BadInput, naming the first offender, when names, shapes or dtypes do not fit, or numbers are not finite.
    """
    tensors, metadata = load_tensors(path)
    for name in [name.removesuffix(ROW_SCALE) for name in tensors if name.endswith(ROW_SCALE)]:
        scale, rows = tensors.pop(name + ROW_SCALE), tensors.get(name)
        fit = rows is not None and rows.ndim == 2 and scale.shape == rows.shape[:1]
        if rows is None or not fit or rows.dtype != torch.int8 or not scale.is_floating_point():
            raise BadInput(f"{path} is damaged: the scales of {name} do not match its rows.", "weights_unreadable")
        tensors[name] = rows.float() * scale[:, None]
    fill_module(module, tensors, str(path))
    return metadata


def fill_module(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy `tensors` into `module`; raises BadInput naming `source` when they do not fit or are not finite."""
    check_fits(module, tensors, source)
    check_finite(tensors, source)
    module.load_state_dict(dict(tensors))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text metadata of a safetensors file, without its tensors. Raises BadInput as `load_tensors` does."""
    with _open(path) as file:
        return dict(file.metadata() or {})


def shapes_of(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by name, scales of int8 rows left out; no tensor is read. Raises BadInput as `load_tensors` does."""
    with _open(path) as file:
        names = [name for name in file.keys() if not name.endswith(ROW_SCALE)]
        return {name: tuple(file.get_slice(name).get_shape()) for name in names}


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of a module's parameters and buffers, by name."""
    return tensors_digest(module.state_dict())


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, dtypes, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def not_a_file(path: Path) -> str:
    """In brackets, what lies at a path at which weights should be and is no file; empty where nothing does."""
    if path.is_dir():
        return " (a folder lies there)"
    return " (no ordinary file lies there)" if os.path.lexists(path) and not path.is_file() else ""


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Any]:
    if not Path(path).is_file():
        raise BadInput(f"No weights at {path}{not_a_file(Path(path))}.", "weights_missing")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no readable safetensors file: {error}.", "weights_unreadable") from error
