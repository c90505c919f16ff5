"""Pictures with captions -> shards of latents and text states, which training reads.

Every shard follows from its own pictures alone and is written whole or not at all, and its SHA-256 is kept. So a run
that was cut off at any moment, or lost shards since, writes those that are missing, and the result is the same.
"""

import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from lira.checkpoint import weights_digest
from lira.data.pool import write_missing
from lira.data.records import RECORDS_NAME, ShardRecord, read_records
from lira.data.shards import DAMAGE, BadSample, check_loss, read_index
from lira.data.sources import ImageSource, Picture
from lira.data.stream import (
    CAPTION,
    DESCRIPTION_NAME,
    EMPTY_STATE_NAME,
    LATENT,
    TEXT,
    Description,
    read_description,
    shard_name,
)
from lira.latents import LatentKind
from lira.text import TextEncoder, tokenise
from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write, sha256_of
from lira_runtime.progress import Progress
from lira_runtime.tokenizer import ClipTokenizer

PARTS = ".lira-*.part"
"""What `atomic_write` leaves of a file where it is killed."""
FOUND = ("samples", "skipped", "cut")
"""What a description tells only of a complete folder."""


@dataclass(frozen=True)
class Encoders:
    """The two frozen networks, on one device."""

    kind: LatentKind
    image: nn.Module
    text: TextEncoder
    tokenizer: ClipTokenizer
    device: str

    @torch.inference_mode()
    def latents(self, pictures: list[Picture]) -> Tensor:
        """Diffusion latents (b, C, h, w), float16. Raises BadInput where float16 cannot hold them."""
        pixels = torch.from_numpy(np.stack([picture.pixels for picture in pictures])).to(self.device)
        latents = self.image(pixels.permute(0, 3, 1, 2).float().div_(255)).half().cpu()
        if not latents.isfinite().all():
            raise BadInput(f"the image encoder gives NaN, or values beyond float16, near {pictures[0].key}.")
        return latents

    @torch.inference_mode()
    def states(self, captions: list[str]) -> Tensor:
        """Text states (b, M, d_text), float16."""
        return self.text(tokenise(self.tokenizer, captions).to(self.device)).half().cpu()


def encode_folder(
    source: ImageSource,
    encoders: Encoders,
    out: Path,
    shard_size: int,
    batch: int,
    progress: Progress,
    processes: int = 1,
) -> Description:
    """Encode all of `source` into the folder `out`, but the shards that are whole already; returns what it holds.

    Several `processes` write shards at the same time: what one writes with one thread. Raises BadInput when `out` holds
    something else, or when more than 1 % of the pictures cannot be used.
    """
    description = _describe(source, encoders, shard_size)
    _begin(out, description)
    _write(out / EMPTY_STATE_NAME, _npy(encoders.states([""])[0]))
    records, samples = read_records(out), 0
    pieces = [range(first, min(first + shard_size, len(source))) for first in range(0, len(source), shard_size)]
    made: dict[int, ShardRecord] = {}
    if processes > 1:
        missing = {n: piece for n, piece in enumerate(pieces) if not (out / shard_name(n)).exists()}
        made = write_missing(out, missing, (source, encoders, batch), processes, progress)
    with ThreadPoolExecutor(torch.get_num_threads()) as readers:
        for number, indices in enumerate(pieces):
            path = out / shard_name(number)
            known = records[number] if number < len(records) else None
            if number in made:
                known = None
            elif _is_whole(path, known):
                progress.update(indices.stop)
            else:
                write_shard(path, source, indices, encoders, batch, readers, progress)
                known = None
            if known is None:
                records[number : number + 1] = [made.get(number) or record_of(path, encoders.tokenizer)]
                _write_json(out / RECORDS_NAME, records)
            samples += records[number].samples
            check_loss(indices.stop - samples, len(source), "pictures")
    skipped, cut = len(source) - samples, sum(record.cut for record in records)
    done = msgspec.structs.replace(description, samples=samples, skipped=skipped, cut=cut)
    _write_json(out / DESCRIPTION_NAME, done)
    return done


def _describe(source: ImageSource, encoders: Encoders, shard_size: int) -> Description:
    encoders.kind.shape(source.size, source.size)
    return Description(
        latent=encoders.kind.name,
        size=source.size,
        text_preset=encoders.text.preset.name,
        d_text=encoders.text.width,
        encoder=weights_digest(encoders.image),
        text_encoder=weights_digest(encoders.text),
        source=source.description,
        shard_size=shard_size,
        shards=-(-len(source) // shard_size),
    )


def _begin(out: Path, description: Description) -> None:
    """Make `out` ready. Raises BadInput when it holds anything else."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / DESCRIPTION_NAME).exists():
        if not all(path.match(PARTS) for path in out.iterdir()):
            raise BadInput(f"{out} is not empty and holds no encoded data; choose another folder.")
        _write_json(out / DESCRIPTION_NAME, description)
    found = read_description(out)
    for field in msgspec.structs.fields(Description):
        old, new = getattr(found, field.name), getattr(description, field.name)
        if field.name not in FOUND and old != new:
            raise BadInput(f"{out} was begun with another {field.name} ({old}, now {new}); choose another folder.")
    for part in out.glob(PARTS):
        if part.is_file():
            part.unlink()


def _write_json(path: Path, content: Description | list[ShardRecord]) -> None:
    _write(path, msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        with atomic_write(path) as part:
            part.write_bytes(content)


def _is_whole(path: Path, known: ShardRecord | None) -> bool:
    """Whether a shard is the recorded one or, where there is no record, whole by its headers."""
    try:
        if known is not None:
            return sha256_of(path) == known.sha256
        read_index(path)
    except DAMAGE:
        return False
    return True


def record_of(path: Path, tokenizer: ClipTokenizer) -> ShardRecord:
    """What to keep of a shard that was just written."""
    shard = read_index(path)
    captions = [shard.read(place)[CAPTION].decode() for place in range(len(shard.keys))]
    cut = sum(tokenizer.encode(caption).truncated for caption in captions)
    return ShardRecord(samples=len(captions), cut=cut, sha256=sha256_of(path))


def write_shard(
    path: Path,
    source: ImageSource,
    indices: range,
    encoders: Encoders,
    batch: int,
    readers: ThreadPoolExecutor,
    progress: Progress,
) -> None:
    """Write the pictures `indices` of `source`, whole or not at all; what cannot be used is named and left out."""
    with atomic_write(path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as archive:
        for found in _read_ahead(source, indices, batch, readers):
            pictures = [picture for picture in found if isinstance(picture, Picture)]
            for bad in found:
                if isinstance(bad, BadSample):
                    progress.warn(f"skipped: {bad}.")
            if pictures:
                latents = encoders.latents(pictures)
                states = encoders.states([picture.caption for picture in pictures])
            for place, picture in enumerate(pictures):
                _add(archive, f"{picture.key}.{LATENT}", _npy(latents[place]))
                _add(archive, f"{picture.key}.{TEXT}", _npy(states[place]))
                _add(archive, f"{picture.key}.{CAPTION}", picture.caption.encode())
            progress.advance(len(found))


def _read_ahead(
    source: ImageSource, indices: range, batch: int, readers: ThreadPoolExecutor
) -> Iterator[list[Picture | BadSample]]:
    """Batches of pictures; one is read while the one before is encoded."""
    pending = readers.map(lambda index: _read(source, index), indices[:batch])
    for first in range(batch, len(indices) + batch, batch):
        ready = list(pending)
        pending = readers.map(lambda index: _read(source, index), indices[first : first + batch])
        yield ready


def _read(source: ImageSource, index: int) -> Picture | BadSample:
    try:
        return source.picture(index)
    except BadSample as bad:
        return bad


def _npy(tensor: Tensor) -> bytes:
    file = io.BytesIO()
    np.save(file, tensor.numpy(), allow_pickle=False)
    return file.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # time and owner are zero, so equal contents are equal files
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
