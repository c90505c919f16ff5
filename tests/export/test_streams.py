"""The plan for hyper-connections against the streams themselves."""

import numpy as np
import pytest
import torch

from lira.layers import HyperConnection
from lira_export.rewrite.streams import plan_streams
from lira_runtime.errors import BadInput


def connections(count: int, spread: float) -> list[HyperConnection]:
    torch.manual_seed(0)
    made = [HyperConnection(index).double() for index in range(count)]
    with torch.no_grad():
        for connection in made:
            connection.matrix.add_(spread * torch.randn(3, 3))
    return made


@torch.no_grad()
def by_streams(made: list[HyperConnection], x: torch.Tensor, layers: list[torch.nn.Linear]) -> torch.Tensor:
    streams = (x, x)
    for connection, layer in zip(made, layers, strict=True):
        streams = connection.write(streams, layer(connection.read(streams)))
    return (streams[0] + streams[1]) / 2


@torch.no_grad()
def by_plan(made: list[HyperConnection], x: torch.Tensor, layers: list[torch.nn.Linear]) -> torch.Tensor:
    plan = plan_streams([connection.matrix.numpy() for connection in made])
    r, q = plan.first_r * x, plan.first_q * x
    for update, layer in zip(plan.updates, layers, strict=True):
        output = layer(r)
        r, q = update.apply(r, q, update.ro * output, output)
    return r


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0])
def test_the_plan_computes_what_the_streams_do(spread: float) -> None:
    made, layers = connections(9, spread), [torch.nn.Linear(8, 8).double() for _ in range(9)]
    x = torch.randn(5, 8).double()
    wanted = by_streams(made, x, layers)
    assert float((by_plan(made, x, layers) - wanted).abs().max()) <= 1e-9 * float(wanted.abs().max())


def test_a_sublayer_that_hardly_reads_what_the_last_one_wrote_is_planned_stably() -> None:
    made, layers = connections(3, 0.1), [torch.nn.Linear(8, 8).double() for _ in range(3)]
    with torch.no_grad():
        made[0].matrix[0, 1:] = torch.tensor([1.0, 1.0])
        made[1].matrix[1:, 0] = torch.tensor([1.0, -1.0])
    x = torch.randn(5, 8).double()
    wanted = by_streams(made, x, layers)
    assert float((by_plan(made, x, layers) - wanted).abs().max()) <= 1e-12 * float(wanted.abs().max())
    updates = plan_streams([connection.matrix.detach().numpy() for connection in made]).updates
    assert [update.qo != 0 for update in updates] == [True, False, False]


def test_a_sublayer_that_writes_nothing_is_planned() -> None:
    made, layers = connections(3, 0.1), [torch.nn.Linear(8, 8).double() for _ in range(3)]
    with torch.no_grad():
        made[1].matrix[0] = 0.0
    x = torch.randn(5, 8).double()
    assert float((by_plan(made, x, layers) - by_streams(made, x, layers)).abs().max()) <= 1e-12


def test_a_sublayer_that_reads_neither_stream_is_refused() -> None:
    with pytest.raises(BadInput, match="reads neither"):
        plan_streams([np.diag([0.0, 1.0, 1.0])])
