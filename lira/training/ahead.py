"""Batches made while the one before is used."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(draw: Callable[[int], T], first: int) -> Generator[T, None, None]:
    """draw(first), draw(first + 1), ..: each is drawn by a thread of its own while the one before is used."""
    with ThreadPoolExecutor(1, "batches") as reader:
        pending = reader.submit(draw, first)
        while True:
            batch = pending.result()
            first += 1
            pending = reader.submit(draw, first)
            yield batch
