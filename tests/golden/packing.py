"""How vectors are written: base64 of little-endian float32, and JSON with one entry a line, in ASCII."""

import base64
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def f32(values: Iterable[float]) -> str:
    """Base64 of numbers that are float32 already, or are rounded to it here, in their order."""
    numbers = list(values)
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def as_float32(value: float) -> float:
    """The float32 nearest to a float64."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def dump(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record whose lists have one entry a line, so that a difference shows the entry that differs."""
    parts = []
    for key, value in record.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(each) for each in value)
            parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    path.write_text("{" + ",\n".join(parts) + "}\n", encoding="ascii")
