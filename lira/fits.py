"""Do tensors that somebody brings fit a module? The first that does not is named, and both shapes."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from lira_runtime.errors import BadInput

Shape = Sequence[int]


def check_fits(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise BadInput naming `source`, and the first offender, when names, shapes or dtypes are not those of `module`.

    Floating-point numbers are cast to what the module has; integers and complex numbers do not stand for them.
    """
    own = module.state_dict()
    misfit = f"{source} does not fit {type(module).__name__}"
    for name in own.keys() & tensors.keys():
        _check_kind(name, tensors[name], own[name], misfit)
    wrong = [name for name in own if name in tensors and tensors[name].shape != own[name].shape]
    if wrong:
        shapes = f"{_shape(tensors[wrong[0]].shape)} instead of {_shape(own[wrong[0]].shape)}"
        raise _differs(f"{misfit}: {wrong[0]} has shape {shapes}{_more(wrong, 'have other shapes')}.")
    missing = [name for name in own if name not in tensors]
    unknown = sorted(tensors.keys() - own.keys())
    if missing:
        found = {name: tuple(tensors[name].shape) for name in unknown}
        raise _differs(f"{misfit}: {_missing(missing, tuple(own[missing[0]].shape), found)}.")
    if unknown:
        shape = _shape(tensors[unknown[0]].shape)
        raise _differs(f"{misfit}: it holds an unknown {unknown[0]} {shape}{_more(unknown, 'are too many')}.")


def check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise BadInput, naming the first, where a tensor holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        bad = tensor.numel() - int(torch.isfinite(tensor.float()).sum())
        if bad:
            sentence = (
                f"{source}: {name} {_shape(tensor.shape)} holds NaN or infinity in {bad} of {tensor.numel()} places."
            )
            raise BadInput(sentence, "weights_not_finite")


def check_loaded(model: nn.Module, info: Mapping[str, Any], source: str, parts: tuple[str, ...] = ("",)) -> None:
    """The same of a model that transformers or diffusers has loaded, where what does not fit is left at random.

    info: their `output_loading_info`, with `ignore_mismatched_sizes`. parts: beginnings of the names that matter.
    """
    own = model.state_dict()
    mismatched = {name: (found, wanted) for name, found, wanted in info.get("mismatched_keys", ())}
    wrong = [name for name in own if name in mismatched and name.startswith(parts)]
    if wrong:
        found, wanted = mismatched[wrong[0]]
        shapes = f"{_shape(found)} instead of {_shape(wanted)}"
        raise _differs(f"{source}: {wrong[0]} has shape {shapes}{_more(wrong, 'have other shapes')}.")
    lost = set(info["missing_keys"])
    missing = [name for name in own if name in lost and name.startswith(parts)]
    if missing:
        unknown = dict.fromkeys(sorted(info["unexpected_keys"]))
        raise _differs(f"{source}: {_missing(missing, tuple(own[missing[0]].shape), unknown)}.")
    check_finite({name: tensor for name, tensor in own.items() if name.startswith(parts)}, source)


def _check_kind(name: str, tensor: Tensor, own: Tensor, misfit: str) -> None:
    if tensor.is_floating_point() != own.is_floating_point() or tensor.is_complex():
        dtypes = f"{_dtype(tensor)} instead of {_dtype(own)}"
        raise _differs(f"{misfit}: {name} {_shape(tensor.shape)} has dtype {dtypes}.")


def _missing(missing: Sequence[str], shape: Shape, unknown: Mapping[str, Shape | None]) -> str:
    """What is missing, and what may be it under another name. unknown: shapes, where they are known, by name."""
    first = missing[0]
    said = f"it lacks {first} {_shape(shape)}{_more(missing, 'are missing')}"
    other = _renamed(first, shape, unknown)
    if other is None:
        return said
    found = unknown[other]
    said = f"{said}, and holds an unknown {other}{'' if found is None else f' {_shape(found)}'}"
    prefix = other.removesuffix(first)
    if prefix != other and all(prefix + name in unknown for name in missing):
        said = f"{said}: every name begins with '{prefix}', as of a wrapped model"
    return said


def _renamed(name: str, shape: Shape, unknown: Mapping[str, Shape | None]) -> str | None:
    """The unknown tensor that is most like a missing one; one of its shape goes first."""
    alike = [other for other, found in unknown.items() if found is None or tuple(found) == tuple(shape)]
    for names in (alike, list(unknown)):
        ends = [other for other in names if other.endswith(f".{name}") or name.endswith(f".{other}")]
        if likely := ends or get_close_matches(name, names, 1, 0):
            return likely[0]
    return None


def _more(names: Collection[str], what: str) -> str:
    return f" ({len(names)} tensors {what})" if len(names) > 1 else ""


def _shape(shape: Shape) -> str:
    return str(tuple(shape))


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _differs(sentence: str) -> BadInput:
    return BadInput(sentence, "weights_differ")
