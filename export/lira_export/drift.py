"""How far two drawings of one request are apart."""

import numpy as np

from lira_export.drawing import Drawing
from lira_export.parity import psnr_db
from lira_runtime.image import Pixels


def drift_db(found: Drawing, reference: Drawing) -> tuple[float, ...]:
    """PSNR in dB of the predicted clean latent, after each step."""
    return tuple(psnr_db(a, b) for a, b in zip(found.x0, reference.x0, strict=True))


def picture_psnr_db(found: Pixels, reference: Pixels) -> float:
    """PSNR in dB of 8-bit pictures, against the full range of 255; infinite where they are equal."""
    error = float(np.sqrt(np.mean(np.square(found.astype(np.float64) - reference))))
    return np.inf if error == 0 else 20 * float(np.log10(255 / error))
