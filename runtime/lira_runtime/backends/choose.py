"""Which engine runs a bundle, by its manifest's target."""

from lira_runtime.backends.limits import LITERT, coreml_elsewhere, litert_missing
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.protocol import Backend
from lira_runtime.backends.session import SessionSettings
from lira_runtime.manifest import TargetName


def backend_for(target: TargetName, settings: SessionSettings | None = None) -> Backend:
    """Return the engine for a target.

    Raises BadInput for Core ML, which Apple's systems run, and where the engine's package is not installed.
    """
    settings = settings or SessionSettings()
    if target == "onnx":
        return OnnxBackend(settings)
    if target == "tflite":
        try:
            from lira_runtime.backends.tflite import TfliteBackend
        except ModuleNotFoundError as error:
            raise litert_missing(error.name or LITERT) from error
        return TfliteBackend(settings)
    raise coreml_elsewhere()
