"""What a profile says in words and tables: the same for the terminal and the report."""

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from lira_runtime.interface import DENOISER
from lira_runtime.memory.budget import megabytes
from lira_runtime.memory.child import IMPORT, UNLOAD
from lira_runtime.memory.claims import HALF_WEIGHTS, PIPELINE_PX, PIPELINES, judged
from lira_runtime.memory.parts import StageParts
from lira_runtime.memory.profile import Profile, shown
from lira_runtime.memory.watch import SAMPLE_SECONDS, Phase, Watched

PHASE_HEAD = ("process", "phase", "resident", "anonymous", "file-backed", "peak", "seconds")
PART_HEAD = ("stage", "at its highest", "peak", "over idle", "predicted", "idle process", "loaded", "mapped", "working")
CLAIM_HEAD = ("of this bundle", "claimed", "predicted", "measured", "the claim is")
CLAIM_NOTE = (
    "MB of 1,000,000 bytes. Claimed: by the first design, before any of it was built, with weights in float16. "
    "Weights are measured as bytes in the file, and predicted as they lie in memory. A pipeline's prediction is in "
    "two: its idle process, measured, + the greatest stage, predicted; what stays of the stages before is not in it."
)
SAMPLED = "~: by samples, which may miss a moment; every other peak is the kernel's mark, exact"
PHASE_NOTE = f"MB of 1,000,000 bytes at the end of each phase, and the greatest resident size within it. {SAMPLED}."
PART_NOTE = (
    "MB of 1,000,000 bytes; idle process, loaded, mapped and working add up to the peak. Idle process: what it holds "
    "after its imports, less what it has given back; pages of files count here up to as many as it had. Loaded: "
    "anonymous memory that loading leaves, packed weights and the engine's records. Mapped: further pages of files, "
    "mapped weights and the engine's code, which comes in with the first graph, 7 to 11 MB. Working: what loading or "
    "running takes for a while, activations above all. Over idle and predicted are of the stage's peak, the higher of "
    "the two."
)
KILLS = (
    (
        "Linux",
        "The kernel kills by resident memory, anonymous and file-backed, with what is swapped out. Before that it "
        "drops clean file-backed pages: a limit (cgroup) is lost by what is left, the anonymous part above all.",
    ),
    (
        "Android",
        "lmkd kills by the pressure of the whole device: anonymous memory fills the compressed swap, and mapped "
        "weights that are dropped and read again count as thrashing.",
    ),
    (
        "iOS",
        "jetsam kills an app by its phys_footprint: dirty and compressed memory. Clean pages of mapped files are "
        "free. The nearest number here is anonymous.",
    ),
    (
        "Not seen here",
        "Memory of a GPU or Neural Engine, what a phone compresses, other processes. On macOS the numbers are "
        "phys_footprint; that code has not been run yet.",
    ),
)
_PACKAGES = ("lira-toolchain", "onnxruntime", "ai-edge-litert", "numpy")


def settings_line(profile: Profile) -> str:
    """What was run."""
    asked, manifest = profile.asked, profile.bundle.manifest
    threads = f"{asked.threads} threads" if asked.threads else "threads as the engine chooses"
    kept = ", all components kept loaded" if asked.keep_loaded else ""
    return (
        f"{manifest.preset}, {manifest.latent.name}, {manifest.target}, {asked.resolution} px, {threads}, weights "
        f"{asked.weights}{kept}; {asked.steps} denoising steps (the bundle's own number is {manifest.sampler.steps})"
    )


def remarks(profile: Profile) -> Iterator[str]:
    """Sentences that a reader needs beside the figures."""
    whole = profile.pipeline
    if whole is None:
        lacking = "a partial bundle, so that there is no whole pipeline to run"
        yield f"This is {lacking}; the peak is that of its greatest stage alone."
    else:
        readings = [f"{_mb(whole.peak)} by the kernel's mark", f"{_mb(whole.peak_sampled)} by samples"]
        if whole.maxrss is not None:
            readings.insert(1, f"{_mb(whole.maxrss)} by wait4 after its end")
        yield (
            f"Peak of the whole pipeline in MB: {', '.join(readings)} about every {SAMPLE_SECONDS * 1000:.0f} ms; "
            f"anonymous, {_mb(whole.peak_anonymous)} at most."
        )
    if profile.asked.weights != "packed":
        yield "The first load of all, which packs the weights into the cache, is not measured and takes more."


def verdict(profile: Profile, budget: int) -> str:
    """One sentence on the budget, in bytes."""
    left = budget - profile.peak
    if left < 0:
        return f"{megabytes(-left)} over the budget of {megabytes(budget)}."
    return f"Fits the budget of {megabytes(budget)} with {megabytes(left)} to spare."


def phase_rows(profile: Profile) -> list[tuple[str, ...]]:
    """Rows for PHASE_HEAD, one for each phase of each process."""
    return [
        (
            shown(watched.name),
            shown(phase.name),
            *(_mb(size) for size in (phase.after.resident, phase.after.anonymous, phase.after.file_backed)),
            _about(phase) + _mb(phase.peak),
            f"{phase.seconds:.2f}",
        )
        for watched in profile.watched
        for phase in watched.phases
    ]


def labels(watched: Watched) -> list[str]:
    """One text for each phase of a timeline: its name and its peak, or what an unloading leaves."""
    return [
        f"unload to {megabytes(phase.after.resident)}"
        if phase.name == UNLOAD
        else f"{shown(phase.name)} {_about(phase)}{megabytes(phase.peak)}"
        for phase in watched.phases
    ]


def _about(phase: Phase) -> str:
    return "~" if phase.source == "sampled" else ""


def part_rows(profile: Profile) -> list[tuple[str, ...]]:
    """Rows for PART_HEAD, two for each stage."""
    return [row for stage in profile.stages for row in _part_rows(profile, stage)]


def _part_rows(profile: Profile, stage: Watched) -> Iterator[tuple[str, ...]]:
    every, predicted = StageParts.of(stage), profile.predicted(stage.name)
    over = (_mb(stage.peak - stage.phase(IMPORT).after.resident), "-" if predicted is None else _mb(predicted))
    highest = max(every.loading.peak, every.running.peak)
    for moment, parts in every.moments():
        sizes = (parts.idle, parts.loaded, parts.mapped, parts.working)
        yield (
            shown(stage.name),
            moment,
            _mb(parts.peak),
            *(over if parts.peak == highest else ("-", "-")),
            *(_mb(size) for size in sizes),
        )


def claim_rows(profile: Profile) -> list[tuple[str, ...]]:
    """Rows for CLAIM_HEAD: what was claimed of the bundle's denoiser and of its whole pipeline, if anything was."""
    manifest, rows = profile.bundle.manifest, []
    if manifest.preset in HALF_WEIGHTS and profile.bundle.holds(DENOISER):
        part = profile.bundle.component(DENOISER)
        memory = profile.bundle.graph(DENOISER, profile.asked.resolution).memory
        predicted = "-" if memory is None or memory.weights_bytes is None else _mb(memory.weights_bytes)
        claimed, measured = HALF_WEIGHTS[manifest.preset], sum(file.bytes for file in part.files)
        right = judged(claimed, measured) if part.recipe == "fp16" else f"of fp16, this is {part.recipe}"
        rows.append(_claim_row("denoiser's weights", claimed, predicted, measured, right))
    pipeline = PIPELINES.get((manifest.preset, manifest.latent.name))
    if pipeline is not None and profile.pipeline is not None and profile.asked.resolution == PIPELINE_PX:
        peak, sums = profile.pipeline.peak, profile.idle_and_predicted
        predicted = "-" if sums is None else f"{_mb(sums[0])} idle + {_mb(sums[1])}"
        rows.append(_claim_row(f"pipeline, {PIPELINE_PX} px", pipeline, predicted, peak, judged(pipeline, peak)))
    return rows


def _claim_row(what: str, claimed: int, predicted: str, measured: int, said: str) -> tuple[str, ...]:
    return what, _mb(claimed), predicted, _mb(measured), said


def machine() -> dict[str, str]:
    """Facts on this machine and the versions that were run, by name."""
    found = {
        "processor": f"{_cpu_model() or platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu_model(path: Path = Path("/proc/cpuinfo")) -> str:
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}"
