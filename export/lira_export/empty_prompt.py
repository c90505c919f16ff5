"""The empty prompt's text states, computed once at export: guidance then needs no second run of the text encoder."""

from pathlib import Path

import numpy as np

from lira_runtime.backends.protocol import Backend
from lira_runtime.files import sha256_of
from lira_runtime.manifest import Graph, TensorFile
from lira_runtime.tokenizer import ClipTokenizer

EMPTY_PROMPT_FILE = "empty_prompt.f32"


def write_empty_prompt(folder: Path, text_encoder: Graph, backend: Backend) -> TensorFile:
    """Run the text encoder's graph in `folder` on the empty prompt and write its states beside it.

    The exported graph, not the eager model: its rounding is then the same in both texts that guidance compares.
    """
    backend.load(text_encoder, folder)
    states = backend.run({"input_ids": ClipTokenizer.vendored().encode("").ids})["text_states"]
    backend.unload()
    path = folder / EMPTY_PROMPT_FILE
    path.write_bytes(np.ascontiguousarray(states, "<f4").tobytes())
    return TensorFile(
        path=path.name, bytes=path.stat().st_size, sha256=sha256_of(path), shape=states.shape, dtype="float32"
    )
