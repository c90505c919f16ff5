"""A fault planted into the product for a class, which it must find: a class that cannot fail is worth nothing."""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def no_hash_is_compared() -> None:
    """Every file passes for what it should be."""
    from lira_runtime.trust import known

    known.KnownHashes.has_hash = lambda hashes, directory, entry: True  # type: ignore[method-assign]


def a_manifest_may_say_anything() -> None:
    """Types are checked, and nothing else: not where a path leads, nor whether shapes and names agree."""
    from lira_runtime import manifest

    manifest.validate = lambda record: None


def weights_are_not_hashed() -> None:
    """A flipped bit in a file of weights is not seen."""
    from lira_runtime.trust import files

    files.file_fault.__defaults__ = (
        lambda folder, entry: entry.path.endswith(".data") or files.read_hash(folder, entry),
    )


def what_is_dropped_is_said_too_late() -> None:
    """The first character that a prompt loses is not named."""
    from lira_runtime.tokenizer import ClipTokenizer, Tokens

    honest = ClipTokenizer.encode

    def encode(self: ClipTokenizer, prompt: str) -> Tokens:
        tokens = honest(self, prompt)
        return Tokens(tokens.ids, tokens.truncated, tokens.dropped[1:])

    ClipTokenizer.encode = encode  # type: ignore[method-assign]


def nothing_is_given_back() -> None:
    """Every picture stays in memory, in an open file and in a thread."""
    import threading

    from lira_runtime import image

    honest, held = image.write_png, []

    def write(*given: Any) -> None:
        held.append((bytearray(os.urandom(1 << 20)), open(os.devnull)))
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        honest(*given)

    image.write_png = write


def a_bundle_is_removed_before_another_comes() -> None:
    """For two thirds of an export, however long one takes, there is neither: a random moment falls into that."""
    from lira_runtime import files

    begun = [time.monotonic()]
    os.register_at_fork(after_in_child=lambda: begun.append(time.monotonic()))

    def swap(part: Path, goal: Path, prefix: str) -> None:
        if goal.is_dir():
            shutil.rmtree(goal)
            time.sleep(2 * (time.monotonic() - begun[-1]))
        shutil.copytree(part, goal)

    files.swap_in = swap


def a_picture_is_written_in_its_place() -> None:
    """What is half written lies where a picture should."""
    import contextlib

    from lira_runtime import image

    image.atomic_write = contextlib.nullcontext


def a_strange_header_is_not_expected() -> None:
    """The library's own error goes through."""
    from lira import checkpoint

    class Other(Exception):
        pass

    checkpoint.SafetensorError = Other  # type: ignore[misc]


PLANTS: Mapping[str, Callable[[], None]] = {
    "damaged": no_hash_is_compared,
    "forged": a_manifest_may_say_anything,
    "bits": weights_are_not_hashed,
    "prompts": what_is_dropped_is_said_too_late,
    "generations": nothing_is_given_back,
    "checkpoints": a_strange_header_is_not_expected,
    "kills": a_bundle_is_removed_before_another_comes,
    "faults": a_bundle_is_removed_before_another_comes,
    "interrupts": a_bundle_is_removed_before_another_comes,
    "circumstances": a_picture_is_written_in_its_place,
}
