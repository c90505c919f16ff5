"""Hostile input by the thousand, and deaths at every moment: `make campaign`, and in short a part of `make test`.

docs/trust.md says what each class does and what counts as right.
"""
