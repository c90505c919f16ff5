"""Runs a LiRA bundle: tokenizer, sampler, pipeline and command line, without torch."""

import os

# onnxruntime reads this when it is imported; left alone it keeps a database of events and sends them to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
