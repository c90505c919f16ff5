import pytest

from lira_runtime.errors import BadInput
from lira_runtime.memory.budget import megabytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1GB", 1_000_000_000),
        ("350MB", 350_000_000),
        ("350MiB", 367_001_600),
        ("1.5 gib", 1_610_612_736),
        (" 200 mb ", 200_000_000),
        ("64kB", 64_000),
        ("64KiB", 65_536),
        ("5000000B", 5_000_000),
    ],
)
def test_amounts_as_people_write_them(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1", "MB", "-1GB", "0MB", "1TB", "1e3MB", "nan MB", "inf", "1,5GB", "1GB GB", "1.GB", "٣MB", "0.1B"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no amount of memory"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("amount", "text"), [(312_400_000, "312 MB"), (10_000_000, "10 MB"), (4_240_000, "4.2 MB"), (0, "0.0 MB")]
)
def test_megabytes_are_of_a_million_bytes(amount: int, text: str) -> None:
    assert megabytes(amount) == text
