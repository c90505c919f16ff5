"""Encoded data as training reads it: a folder that `lira-encode` wrote, and an endless shuffled stream over it.

DIR/dataset.json says what the folder holds, DIR/shards.json what each shard is, DIR/empty.npy is the text state of the
empty prompt, and every sample of the shards DIR/00000.tar .. is KEY.latent.npy, KEY.text.npy and KEY.txt, the caption.
"""

import functools
import hashlib
import io
import math
from collections.abc import Sized
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lira.data.records import BadShard, RecordedShards, read_records
from lira.data.remote import local_copy, read_now
from lira.data.shards import BadSample, ShardSet, check_loss
from lira.latents import latent_kind
from lira.text import TOKENS
from lira_runtime.errors import BadInput
from lira_runtime.progress import Progress

DESCRIPTION_NAME = "dataset.json"
EMPTY_STATE_NAME = "empty.npy"
LATENT, TEXT, CAPTION = "latent.npy", "text.npy", "txt"
"""Extensions of a sample's files; both arrays are float16."""


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an encoded folder holds: dataset.json. `samples` is 0 until the folder is complete."""

    latent: str
    """Latent kind."""
    size: int
    """Side of the pictures, in px."""
    text_preset: str
    d_text: int
    encoder: str
    """SHA-256 of the image encoder's weights; `text_encoder` likewise."""
    text_encoder: str
    source: str
    """Where the pictures come from, with everything that decides which they are."""
    shard_size: int
    """Pictures that a shard was made from."""
    shards: int
    samples: int = 0
    skipped: int = 0
    """Pictures that were damaged, too small or without a caption."""
    cut: int = 0
    """Captions that were longer than the text encoder sees."""


class EncodedData:
    """The encoded samples of a folder, read at random.

    kind: latent kind;  size: side of the pictures, in px;  text_preset, d_text: of the text encoder;
    empty_state (M, d_text) float32: text state of the empty prompt.

    Args:
        folder: local, or a URL that fsspec knows.
        cache: folder for copies, where `folder` is remote.
        json: warnings as JSON lines.

    Raises:
        BadInput: no complete encoded data there, or no cache folder where one is needed; for a folder without
            shards.json, also when more than 1 % of the shards are damaged.
    """

    def __init__(self, folder: Path | str, cache: Path | None = None, json: bool = False) -> None:
        folder = str(folder).rstrip("/")
        content = _read_description(folder)
        self.description = _parse_description(content, folder)
        if not self.description.samples:
            raise BadInput(f"{folder} is not encoded to the end: run lira-encode once more, with the same options.")
        self.kind = latent_kind(self.description.latent)
        self.size, self.d_text = self.description.size, self.description.d_text
        self.text_preset = self.description.text_preset
        self._latent_shape = self.kind.shape(self.size, self.size)[1:]
        self._text_shape = (TOKENS, self.d_text)
        self._progress, self._lost = Progress(0, "data", json), set[int]()
        cache = cache and cache / hashlib.sha256(content).hexdigest()[:16]
        empty = local_copy(f"{folder}/{EMPTY_STATE_NAME}", cache).read_bytes()
        self.empty_state = _tensor(empty, self._text_shape, f"{folder}/{EMPTY_STATE_NAME}")
        urls = [f"{folder}/{shard_name(number)}" for number in range(self.description.shards)]
        records = read_records(folder)
        recorded = len(records) == len(urls)
        self._shards = RecordedShards(urls, records, cache) if recorded else ShardSet(urls, cache, json)

    def __len__(self) -> int:
        return len(self._shards)

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Latent (C, h, w) and text states (M, d_text) of a sample, float32 and finite.

        What is damaged is named on stderr once, and another sample, the same in every process, stands in for it.
        Raises BadInput when more than 1 % of the samples have been found damaged.
        """
        attempt, candidate = 0, index
        while True:
            try:
                return self._read(candidate)
            except BadSample as bad:
                self._lose(candidate, bad)
            attempt += 1
            candidate = int(np.random.default_rng([index, attempt]).integers(len(self)))

    def _read(self, index: int) -> tuple[Tensor, Tensor]:
        files = self._shards.read(index)
        name = self._shards.name(index)
        if LATENT not in files or TEXT not in files:
            raise BadSample(f"{name} lacks {LATENT if LATENT not in files else TEXT}")
        return _tensor(files[LATENT], self._latent_shape, name), _tensor(files[TEXT], self._text_shape, name)

    def _lose(self, index: int, bad: BadSample) -> None:
        if index in self._lost:
            return
        self._lost.update(bad.samples if isinstance(bad, BadShard) else [index])
        check_loss(len(self._lost), len(self), f"samples (the last: {bad})")
        self._progress.warn(f"{bad}; other samples stand in ({len(self._lost)} of {len(self)} lost so far).")


class Stream:
    """An endless, shuffled stream of samples, one order an epoch: a function of the seed and the position alone.

    Step s of global batch B takes the positions s * B .. (s + 1) * B - 1, and each process its part of them: so a run
    can be resumed at any step, with any number of processes.
    """

    def __init__(self, data: Sized, seed: int) -> None:
        self._length, self._seed = len(data), seed
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def indices(self, first: int, count: int) -> NDArray[np.int64]:
        """The samples at positions first .. first + count - 1, (count,) int64."""
        pieces, end = [], first + count
        while first < end:
            epoch, place = divmod(first, self._length)
            if epoch != self._epoch:
                order = np.random.default_rng([self._seed, epoch]).permutation(self._length)
                self._epoch, self._order = epoch, order
            pieces.append(self._order[place : place + end - first])
            first += len(pieces[-1])
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"{number:05d}.tar"


def read_description(folder: Path | str) -> Description:
    """Read dataset.json. Raises BadInput when it is missing or not one."""
    return _parse_description(_read_description(folder), folder)


def _read_description(folder: Path | str) -> bytes:
    try:
        return read_now(f"{folder}/{DESCRIPTION_NAME}")
    except OSError as error:
        raise BadInput(f"{folder} holds no encoded data: {error}.") from error


def _parse_description(content: bytes, folder: Path | str) -> Description:
    try:
        return msgspec.json.decode(content, type=Description)
    except msgspec.DecodeError as error:
        raise BadInput(f"{folder} holds no encoded data: {error}.") from error


@functools.lru_cache
def _npy_header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.empty(shape, np.float16))
    return file.getvalue()[: -2 * math.prod(shape)]


def _tensor(content: bytes, shape: tuple[int, ...], name: str) -> Tensor:
    try:
        header = _npy_header(shape)
        if content.startswith(header):  # the rule, and several times as fast as to parse it
            array = np.frombuffer(content, np.float16, math.prod(shape), len(header)).reshape(shape)
        else:
            array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # NumPy's parser raises almost anything for a damaged header
        raise BadSample(f"{name} is damaged: {error}") from error
    if array.shape != shape or array.dtype != np.float16:
        raise BadSample(f"{name} holds {array.dtype} {array.shape}, not float16 {shape}")
    array = array.astype(np.float32)
    if not np.isfinite(array.sum()):  # float16 values cannot overflow it
        raise BadSample(f"{name} holds NaN or infinity")
    return torch.from_numpy(array)
