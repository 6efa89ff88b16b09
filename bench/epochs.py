"""What epochs of HoneyBadger cost in simulated clusters, and what the formulas say that they cost.

Keys are stand-ins and coins are drawn from seeds: the same numbers on every machine. `bench/honeybadger.py --simulated`
prints them, and tests/simulator/test_honeybadger_statistics.py holds them against bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outvote.broadcast.binary_agreement import CoinShare
from outvote.core.committee import Committee
from outvote.core.contract import Request
from outvote.protocols.catalogue import protocol
from outvote.protocols.honeybadger import ordering
from outvote.protocols.honeybadger.insight import state_of
from outvote.protocols.honeybadger.messages import Agreeing
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, MILLISECOND, NEVER, SECOND

HONEYBADGER: Final = protocol("honeybadger")
OUTSTANDING: Final = 56  # requests of one client that wait


def ran(n: int, epochs: int) -> World:
    """Calm epochs one after the other, a request each; every message takes a millisecond."""
    plan = Plan(
        seed=n, n=n, clients=1, delay_min=MILLISECOND, faults_end=NEVER, deadline=NEVER,
        parameters={"checkpoint_interval": epochs + 1, "window": 2 * (epochs + 1), "dealer_seed": n},
    )
    world = World(plan, HONEYBADGER)
    world.start()
    for number in range(epochs):
        world.call(0, [("put", ("a", str(number)))])
        world.run_until((number + 1) * SECOND // 4)  # before anybody asks for what was lost
    standings = [replica.turn and replica.turn.core.standing().position for replica in world.replicas]
    if standings != [epochs] * n:
        raise RuntimeError(f"{epochs} epochs were to be delivered, and they are {standings}")
    return world


def sent(world: World, kind: str) -> int:
    """Messages of one kind, by all replicas together."""
    return sum(replica.turn.counters.get(f"{kind}_sent", 0) for replica in world.replicas if replica.turn is not None)


def rounds(world: World) -> list[list[int]]:
    """By epoch, of each proposer's agreement: how many coins were tossed."""
    found: dict[tuple[int, int], int] = {}
    for replica in world.replicas:
        if replica.turn is None:
            continue
        for epoch, words in state_of(replica.turn.core).said.items():
            for _, message in words:
                if isinstance(message, Agreeing) and isinstance(message.body, CoinShare):
                    place = epoch, message.proposer
                    found[place] = max(found.get(place, 0), message.body.number + 1)
    epochs = sorted({epoch for epoch, _ in found})
    return [[found[epoch, proposer] for proposer in range(world.plan.n)] for epoch in epochs]


def different_requests(n: int, epochs: int) -> list[int]:
    """By epoch, of B = 112 requests that wait everywhere: how many are in what n replicas pick."""
    parameters = {"batch_requests_max": 2 * OUTSTANDING, "dealer_seed": n}
    states = [state_of(HONEYBADGER.make(me, Committee(n), parameters)) for me in range(n)]
    for state in states:
        for client in (FIRST_CLIENT, FIRST_CLIENT + 1):
            for number in range(1, OUTSTANDING + 1):
                state.pool.add(Request(client, number, 0, (b"",), b""))
    picked = [[ordering.pick(state, epoch) for state in states] for epoch in range(1, epochs + 1)]
    return [len({one.key for requests in epoch for one in requests}) for epoch in picked]


def different_expected(n: int) -> float:
    """B (1 - (1 - 1/n)^n): the paper, section 4.4."""
    return 2 * OUTSTANDING * (1 - (1 - 1 / n) ** n)


def slowest_expected(n: int) -> float:
    """The rounds of the slowest of n agreements in which all put in 1: each ends in a round with probability 1/2."""
    return sum(1 - (1 - 0.5**k) ** n for k in range(200))


def broadcasts_expected(n: int) -> int:
    return n * (n - 1) * (2 * n + 1)


def openings_expected(n: int) -> int:
    """A share of each proposal, from each to each."""
    return n * n * (n - 1)


def agreements_expected(n: int, tossed: Sequence[Sequence[int]]) -> int:
    """Of agreements of so many rounds: BVAL, AUX, CONF and share a round, and a TERM, from each to each."""
    return sum(n * (n - 1) * (4 * one + 1) for epoch in tossed for one in epoch)
