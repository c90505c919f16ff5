"""The states that guidance reads from the bundle, against the eager text encoder."""

from pathlib import Path

import numpy as np
import torch

from lira.sources import Models
from lira_runtime.bundle import Bundle


@torch.inference_mode()
def test_the_stored_states_are_the_text_encoders_own_for_the_empty_prompt(
    bundle_folder: Path, small_models: Models
) -> None:
    ids = torch.tensor([[49406, *[49407] * 76]])  # CLIP: start, end, and padding with end
    wanted = small_models.text_encoder(ids).double().numpy()
    found = Bundle.open(bundle_folder).empty_prompt()
    error = np.sqrt(np.mean(np.square(found - wanted)))
    assert found.shape == wanted.shape
    assert 20 * np.log10(np.abs(wanted).max() / error) >= 30
