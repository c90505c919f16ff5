"""Hyper-connections in the basis that a graph computes best.

A sublayer with matrix m reads r = m[1,0] s_1 + m[2,0] s_2 of its two streams and writes
s'_j = m[0,j] o + m[1,j] s_1 + m[2,j] s_2, thirteen passes over the tokens. The streams themselves are never needed:
what the sublayers read is. So carry r and one more combination q = w . s, chosen orthogonal to what the last
sublayer wrote and of the length that the next reading wants, which leaves

    r' = rr r + rq q + ro o        q' = qr r + qq q        (rq = 1, qo = 0)

Only where the next sublayer would hardly read what the last one wrote is w taken perpendicular to the reading instead,
so that r and q stay independent: then qo is not 0. Where it hardly reads q, q keeps its length: then rq is not 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lira_runtime.errors import BadInput

LEAST_COSINE = 0.1
"""Between what is read and what was written, below which q is chosen by the reading."""
LEAST_SHARE = 0.1
"""Of q in the next reading, below which q is not stretched to enter it with factor 1."""
ROUNDING = 1e-12
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Update:
    """How one sublayer's output o changes (r, q); see the module."""

    rr: float
    rq: float
    ro: float
    qr: float
    qq: float
    qo: float

    def apply(self, r: Tensor, q: Tensor, read_change: Tensor, output: Tensor | None) -> tuple[Tensor, Tensor]:
        """New r and q; read_change: ro * o, and output: o itself where qo is not 0; all of the tokens' shape."""
        following = self.qr * r + self.qq * q
        if self.qo and output is not None:
            following = following + self.qo * output
        return self.rr * r + ((q if self.rq == 1 else self.rq * q) + read_change), following


@dataclass(frozen=True)
class StreamPlan:
    """r and q of tokens x at the start, as multiples of x, and every sublayer's update, in order."""

    first_r: float
    first_q: float
    updates: tuple[Update, ...]


def plan_streams(matrices: Sequence[Floats]) -> StreamPlan:
    """The plan for hyper-connections of matrices (3, 3), in the order in which the sublayers run.

    The last r is the mean of the two streams.

    Raises:
        BadInput: a sublayer reads nothing of either stream.
    """
    readings = [matrix[1:, 0] for matrix in matrices] + [np.array([0.5, 0.5])]
    if any(np.linalg.norm(reading) < 1e-6 for reading in readings):
        raise BadInput("A hyper-connection of these weights reads neither stream.")
    bases = _bases(matrices, readings)
    updates = []
    for matrix, basis, following in zip(matrices, bases, bases[1:], strict=False):
        (rr, rq), (qr, qq) = following @ matrix[1:, 1:].T @ np.linalg.inv(basis)
        ro, qo = following @ matrix[0, 1:]
        rq, qo = (1.0 if abs(rq - 1) < ROUNDING else rq), (0.0 if abs(qo) < ROUNDING else qo)
        updates.append(Update(*map(float, (rr, rq, ro, qr, qq, qo))))
    start = bases[0] @ np.ones(2)
    return StreamPlan(float(start[0]), float(start[1]), tuple(updates))


def _bases(matrices: Sequence[Floats], readings: Sequence[Floats]) -> list[Floats]:
    """Rows (reading, w) of each (r, q), one more than there are sublayers."""
    bases = [np.stack([readings[0], _perpendicular(readings[0])])]
    for matrix, reading in zip(matrices, readings[1:], strict=True):
        share = float((reading @ matrix[1:, 1:].T @ np.linalg.inv(bases[-1]))[1])
        if abs(share) >= LEAST_SHARE:
            bases[-1][1] *= share
        written = matrix[0, 1:]
        seen = abs(reading @ written) > LEAST_COSINE * np.linalg.norm(reading) * np.linalg.norm(written)
        bases.append(np.stack([reading, _perpendicular(written if seen else reading)]))
    return bases


def _perpendicular(vector: Floats) -> Floats:
    """Unit vector at a right angle to `vector`."""
    return np.array([vector[1], -vector[0]]) / np.linalg.norm(vector)
