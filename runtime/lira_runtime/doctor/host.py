"""The machine: processor, cache folder, and whether it has the memory that an export needs."""

import os
import shlex
from dataclasses import replace

from lira_runtime.cache import CACHE_VARIABLE, cache_folder
from lira_runtime.doctor import machine
from lira_runtime.doctor.export import Export, gigabytes, need_of, usual_place
from lira_runtime.doctor.finding import Finding

VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
SWAP_FILE = "/swapfile-lira"
SWAP = "fallocate -l {size}G {file} && chmod 600 {file} && mkswap {file} && swapon {file}"


def check_processor(export: Export | None) -> Finding:
    """Instructions that int8 needs, to be right on x86 and to be fast on ARM."""
    flags = machine.processor_flags()
    if not flags:
        return Finding(check="processor", said="this system does not say what its processor can do")
    if not machine.is_x86():
        have = [name for name in ("asimd", "asimddp", "i8mm") if name in flags]
        return Finding(check="processor", said=f"has {', '.join(have) or 'no vector instructions'}")
    if flags & VNNI:
        return Finding(check="processor", said=f"has {', '.join(sorted(flags & VNNI))}")
    said = "has no VNNI: int8 sums of ONNX Runtime saturate, and int8 ONNX bundles draw other pictures (docs/trust.md)"
    if export is not None and "onnx" not in export.targets:
        return Finding(check="processor", said=f"{said}; {export.target} is not concerned")
    mend = (
        export.command(None, "--recipe", "fp16") if export else "lira-export --target onnx --config nano --recipe fp16"
    )
    return Finding(check="processor", level="notice", said=said, mend=mend)


def check_memory(export: Export) -> Finding:
    """Memory that is free now, beside what the export takes."""
    found, needed = machine.memory(), export.need.memory
    if found is None:
        return Finding(check="memory", said=f"{export.needs(needed)}; this system does not say what is free")
    said = f"{export.needs(needed)}, {gigabytes(found.available)} are free"
    if found.available >= needed:
        return Finding(check="memory", said=said)
    if found.limited:
        said += "; a control group limits it"
        smaller = _smaller(export, found.available)
        return Finding(check="memory", level="problem", said=said, mend=smaller)
    lacking = (needed - found.available) // 2**30 + 1
    swap = SWAP.format(size=lacking, file=SWAP_FILE)
    mend = swap if os.geteuid() == 0 else f"sudo sh -c {shlex.quote(swap)}"
    return Finding(check="memory", level="problem", said=said, mend=mend)


def _smaller(export: Export, available: int) -> str | None:
    """The export of the largest preset that fits."""
    for config in ("base", "small", "tiny", "nano"):
        need = need_of(export.targets, config)
        if need is not None and need.memory <= available:
            usual = export.out == usual_place(export.target, export.config)
            out = usual_place(export.target, config) if usual else export.out
            return replace(export, config=config, out=out, need=need).command()
    return None


def check_cache() -> Finding:
    """Whether packed weights and checked files can be remembered."""
    try:
        folder = cache_folder()
    except RuntimeError:
        fault = "this user has no home"
    else:
        found = machine.writable_fault(folder)
        if found is None:
            return Finding(check="cache", said=f"{folder} can be written")
        fault = found.removesuffix(".")
    said = f"{fault}: weights cannot be mapped, and files are read again at every start"
    mend = f'export {CACHE_VARIABLE}="$(mktemp -d)"'  # of a name that nobody can have made before
    return Finding(check="cache", level="notice", said=said, mend=mend)
