"""Which engine runs a bundle, by its manifest's target."""

import sys

from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.protocol import Backend
from lira_runtime.backends.session import SessionSettings
from lira_runtime.errors import BadInput
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
            raise BadInput(
                f"{error.name} is not installed, which runs TFLite bundles: pip install '.[litert]'."
            ) from error
        return TfliteBackend(settings)
    raise BadInput(
        "Core ML bundles are run by an app on Apple's systems, not by lira-generate; lira-compare executes their "
        f"arithmetic on {sys.platform} too."
    )
