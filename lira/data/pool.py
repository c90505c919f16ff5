"""Shards written by several processes at once: a GPU encodes more pictures than one process renders and packs."""

import multiprocessing
import pickle
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lira.data.records import ShardRecord
from lira.data.sources import ImageSource
from lira.data.stream import shard_name
from lira_runtime.progress import Progress

if TYPE_CHECKING:
    from lira.data.encoding import Encoders

Work = tuple[ImageSource, "Encoders", int]
"""The pictures, what encodes them, and how many at once: what every process is given once."""

_work: list[Work] = []


class _Quiet(Progress):
    """Shows warnings alone: how far all have come is the parent's to tell."""

    def update(self, done: int, note: str = "") -> None:
        pass


def write_missing(
    out: Path, missing: dict[int, range], work: Work, processes: int, progress: Progress
) -> dict[int, ShardRecord]:
    """Write the shards `missing`, pictures by number, into `out` by processes of one thread; returns their records.

    Raises what `write_shard` does in any of them; shards that are not begun are then left out.
    """
    made: dict[int, ShardRecord] = {}
    if not missing:
        return made
    # A forked process could not use the GPU that its parent has touched, and torch would share tensors, not copy them.
    context, packed = multiprocessing.get_context("spawn"), pickle.dumps(work)
    with ProcessPoolExecutor(min(processes, len(missing)), context, _begin, (packed,)) as pool:
        jobs = {pool.submit(_make, out / shard_name(number), piece): number for number, piece in missing.items()}
        try:
            for job in as_completed(jobs):
                made[jobs[job]] = job.result()
                progress.advance(len(missing[jobs[job]]))
        finally:
            pool.shutdown(cancel_futures=True)
    return made


def _begin(packed: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    torch.set_num_threads(1)
    _work.append(pickle.loads(packed))


def _make(path: Path, indices: range) -> ShardRecord:
    from lira.data.encoding import record_of, write_shard

    (source, encoders, batch) = _work[0]
    with ThreadPoolExecutor(1) as readers:
        write_shard(path, source, indices, encoders, batch, readers, _Quiet(0, "encode"))
    return record_of(path, encoders.tokenizer)
