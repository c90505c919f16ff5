"""What holds for the whole suite."""

import gc


def pytest_collection_finish() -> None:
    """Spare every later search for garbage the libraries' objects, 700,000 of them, which live until the end.

    A drawing searches after each of its stages, which took half a second each time.
    """
    gc.collect()
    gc.freeze()
