"""The checks behind `python test_lira.py`: eight, and each passes with a line of evidence."""

from collections.abc import Callable

import pytest

from lira.checks import CHECKS


def test_there_are_exactly_eight_different_checks() -> None:
    assert len(CHECKS) == len({check.__name__ for check in CHECKS}) == 8


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_check_passes_and_says_what_it_measured(check: Callable[[], str]) -> None:
    assert len(check().splitlines()) == 1
