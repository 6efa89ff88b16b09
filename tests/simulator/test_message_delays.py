"""How many one-way delays an answer takes: 2 beside the order, 4 tentative, 5 final (the paper, section 5.1)."""

from __future__ import annotations

import pytest

from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Plan
from outvote.simulator.workload import Call
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND

PUT: Call = ("put", ("k", "v"))
GET: Call = ("get", ("k",))


def delays(call: Call, tentative: bool, reads: bool, n: int = 4) -> float:
    """One-way delays from the call to the answer, where every message takes one and nothing else takes any time."""
    plan = Plan(n=n, clients=1, delay_min=MILLISECOND, reads=reads, receipts=False, parameters={"tentative": tentative})
    world = World(plan, protocol("pbft"))
    world.start()
    world.run_until(SECOND)
    for each in (PUT, call):
        world.call(0, [each])
        world.run_until(world.now + SECOND // 4)
    _, operation = world.clients[0].history[-1]
    assert operation.returned is not None
    return (operation.returned - operation.call) / MILLISECOND


@pytest.mark.parametrize("n", [4, 7])
def test_a_read_takes_two(n: int) -> None:
    assert delays(GET, True, True, n) == delays(GET, False, True, n) == 2


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("call", [PUT, GET])
@pytest.mark.parametrize("reads", [False, True])
def test_a_tentative_answer_takes_four_and_a_final_one_five(call: Call, n: int, reads: bool) -> None:
    if call is PUT or not reads:
        assert delays(call, True, reads, n) == 4
        assert delays(call, False, reads, n) == 5
