"""What an engine cannot do, and whether it is here: asked before anything is loaded."""

import importlib.util
import sys

from lira_runtime.errors import BadInput
from lira_runtime.manifest_entries import TargetName, WeightsMode

LITERT = "ai_edge_litert"
MAX_THREADS = 256
KEEPS_PACKED = 1, 32
"""The first release of ONNX Runtime that runs 8-bit products on weights packed by an earlier session."""
LITERT_STREAMS_NOT = (
    "TFLite weights cannot be streamed: LiteRT holds Python's lock while it runs, so nothing can give pages back "
    "meanwhile; use --weights mapped."
)


def check_engine(target: TargetName, weights: WeightsMode) -> None:
    """Raise BadInput where nothing here runs a target, or loads its weights like that."""
    if target == "coreml":
        raise coreml_elsewhere()
    if target == "tflite" and importlib.util.find_spec(LITERT) is None:
        raise litert_missing(LITERT)
    if target == "tflite" and weights == "streamed":
        raise BadInput(LITERT_STREAMS_NOT)
    if target == "onnx":
        check_kept(weights)


def check_kept(weights: WeightsMode) -> None:
    """Raise BadInput where ONNX Runtime cannot run weights that were packed into a file, or they cannot be streamed."""
    if weights == "streamed":
        check_streaming()
    if weights == "packed":
        return
    # Asked of the engine itself: importlib.metadata would bring 2 MB of code into every drawing.
    import onnxruntime

    version = onnxruntime.__version__
    if tuple(map(int, version.split(".")[:2])) < KEEPS_PACKED:
        raise BadInput(
            f"onnxruntime {version} crashes on packed weights that lie in a file: --weights packed, or "
            f"pip install 'onnxruntime>={'.'.join(map(str, KEEPS_PACKED))}'."
        )


def check_streaming() -> None:
    """Raise BadInput where weights cannot be streamed."""
    if sys.platform != "linux":
        raise BadInput(f"weights can be streamed on Linux and Android, not on {sys.platform}; use mapped.")


def litert_missing(name: str) -> BadInput:
    """Of a package without which TFLite bundles do not run."""
    return BadInput(f"{name} is not installed, which runs TFLite bundles: pip install '.[litert]'.", "not_installed")


def coreml_elsewhere() -> BadInput:
    """Core ML bundles run on Apple's systems."""
    return BadInput(
        "Core ML bundles are run by an app on Apple's systems, not by lira-generate; lira-compare executes their "
        f"arithmetic on {sys.platform} too."
    )
