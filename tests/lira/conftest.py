"""Fixtures of several tests: rendered scenes, and a launcher of two processes."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lira.data.emoji import EmojiSet
from lira.data.vocabulary import VOCABULARY


@pytest.fixture(scope="session")
def emoji_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of stand-in pictures: an opaque disc of a colour of its own for every name."""
    root = tmp_path_factory.mktemp("emoji") / "package" / "assets"
    root.mkdir(parents=True)
    y, x = np.mgrid[:64, :64] - 31.5
    for index, code in enumerate(VOCABULARY.values()):
        picture = np.zeros((64, 64, 4), np.uint8)
        picture[x**2 + y**2 < 30**2] = (index + 20, 255 - index, 40, 255)
        Image.fromarray(picture).save(root / f"{code}.webp", lossless=True)
    return root.parent


@pytest.fixture(scope="session")
def emoji(emoji_folder: Path) -> EmojiSet:
    return EmojiSet(emoji_folder)


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher that started two processes, seen by the first."""
    found = SimpleNamespace(device=torch.device("cpu"), process_index=0, num_processes=2)
    monkeypatch.setattr("lira.training.launch.Accelerator", lambda cpu: found)
