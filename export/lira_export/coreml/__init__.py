"""Core ML: what converts, quantizes, counts and, for parity, executes ML Programs."""

import logging

# coremltools warns at import of parts that only macOS has, and later of a torch that it was not tested with.
logging.getLogger("coremltools").setLevel(logging.ERROR)
