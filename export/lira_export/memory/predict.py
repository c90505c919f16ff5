"""Peak memory of a pipeline from the models alone: nothing is converted, nothing is run.

    stage over an idle process = engine + weights + the greater of what loading and what a run takes
    pipeline                   = idle process + the greatest stage; one after the other, so what stays of the first
                                 counts from the second on; and no less than the process takes while it starts

Sizes are resident bytes, file-backed pages included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lira_export.memory.calibration import CONVOLUTIONS, Streamed, check_predictable, engine_of
from lira_export.memory.network import Network, workspace
from lira_export.memory.weights import weights_of
from lira_export.recipes import Recipe
from lira_runtime.manifest import Memory, TargetName, WeightsMode
from lira_runtime.memory.child import START


@dataclass(frozen=True)
class Load:
    """How a network is stored and loaded."""

    target: TargetName
    recipe: Recipe
    weights: WeightsMode = "packed"


@dataclass(frozen=True)
class StageMemory:
    """Bytes of one stage over an idle process.

    runtime: the engine's code and its records of the graph. weights: as they are resident. activations: what a run
    takes. loading: what loading takes for a moment; left: what of that freed memory keeps. let_go: code that is given
    back before the first run.
    """

    runtime: int
    weights: int
    activations: int
    loading: int
    left: int
    let_go: int = 0

    @property
    def peak(self) -> int:
        """The most at one time."""
        return self.runtime + self.weights + self.above

    @property
    def above(self) -> int:
        """What is over the engine and its weights, at the peak."""
        return max(self.left + self.activations - self.let_go, self.loading, 0)

    def record(self) -> Memory:
        """For a manifest; its parts add up."""
        return Memory(
            predicted_bytes=self.peak,
            weights_bytes=self.weights,
            activations_bytes=self.above,
            runtime_bytes=self.runtime,
        )


def predict_stage(network: Network, load: Load) -> StageMemory:
    """Predict one stage. Raises BadInput for a target whose engine is not calibrated, or cannot stream."""
    check_predictable(load.target, load.weights)
    engine = engine_of(load.target)
    plan = workspace(network, load.target, load.recipe.name)
    weights = weights_of(network, load.recipe, load.target)
    held = sum(each.held_bytes for each in weights if not each.is_table)
    unpacks = load.target == "tflite" or load.weights == "packed"
    tables = sum(each.touched_bytes(unpacks) for each in weights if each.is_table)
    stage = StageMemory(
        runtime=engine.library + engine.session + round(engine.op * plan.ops),
        weights=held + tables,
        activations=round(engine.workspace[load.recipe.name if network.has_products else CONVOLUTIONS] * plan.nbytes),
        loading=0,
        left=0,
    )
    if load.weights == "streamed" and engine.streamed is not None:
        return _streamed(stage, held, tables, engine.streamed)
    if load.weights == "mapped":
        return stage
    halves = sum(each.stored_bytes for each in weights if each.stored == "float16")
    largest = max((each.held_bytes for each in weights if not each.is_table), default=0)
    return replace(stage, loading=largest + round(engine.loading * halves), left=round(engine.left * halves))


def _streamed(stage: StageMemory, held: int, tables: int, streamed: Streamed) -> StageMemory:
    window = min(held, streamed.window)
    loading = max(min(streamed.loading + round(streamed.loading_share * held), held) - window, 0)
    return replace(stage, weights=window + tables, loading=loading, let_go=streamed.code)


@dataclass(frozen=True)
class PipelineMemory:
    """Bytes of a whole pipeline that runs its stages in turn, in their order."""

    start: int
    """For a moment, before the first stage."""
    process: int
    kept: int
    """By the process when a stage is gone, the engine's code included."""
    library: int
    stages: Mapping[str, StageMemory]

    def peaks(self) -> dict[str, int]:
        """The process's peak at the start and in each stage."""
        found, before = {START: self.start}, 0
        for name, stage in self.stages.items():
            found[name] = self.process + before + stage.peak
            before = self.kept - self.library
        return found

    @property
    def peak(self) -> int:
        """The greatest of them."""
        return max(self.peaks().values())

    @property
    def stage(self) -> str:
        """The one that takes it, or `START`."""
        peaks = self.peaks()
        return max(peaks, key=lambda name: peaks[name])


def predict_pipeline(networks: Sequence[Network], load: Load) -> PipelineMemory:
    """Predict networks that run in turn at one resolution. Raises BadInput as `predict_stage` does."""
    engine = engine_of(load.target)
    stages = {network.component.name: predict_stage(network, load) for network in networks}
    kept = engine.library if load.weights == "streamed" else engine.kept  # streaming lets go of what is left
    return PipelineMemory(engine.start, engine.process, kept, engine.library, stages)
