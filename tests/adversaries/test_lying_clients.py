"""Every lying client really sins, and nothing changes for honest ones; what it had executed is accounted for."""

from __future__ import annotations

import pytest

from outvote.errors import Mistake
from outvote.protocols.catalogue import protocol
from outvote.simulator.adversaries.client_catalogue import FALSE_CLIENTS, false_client, told_of_client
from outvote.simulator.adversaries.false_client import ClientPowers, FalseClient
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Plan
from outvote.simulator.runs import run_plan
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, MILLISECOND, SECOND, ReplicaId
from outvote.wire.client_messages import OPERATIONS_MAX, OUTSTANDING_MAX, REQUEST_BYTES_MAX, Refusal, Reply, ToClient

CLIENTS = 2
LIAR = FIRST_CLIENT + CLIENTS


def busy(*sins: str, seed: int = 1, n: int = 4) -> Plan:
    return Plan(
        seed=seed, n=n, clients=CLIENTS, operations_each=15, outstanding=2, keys=2, pause_max=SECOND // 3,
        parameters={"checkpoint_interval": 4, "window": 8, "batch_requests_max": 4, "view_timeout_ms": 300},
        delay_mean=3 * MILLISECOND, false_clients=(sins,), faults_end=4 * SECOND, deadline=400 * SECOND,
    )


def ran(plan: Plan) -> World:
    world = World(plan, protocol("pbft"), keep_trace=True)
    world.run()
    return world


def executed_numbers(world: World) -> list[int]:
    return [number for client, number in world.had_executed if client == LIAR]


@pytest.mark.parametrize("name", sorted(FALSE_CLIENTS))
def test_it_sins_and_honest_clients_are_served(name: str) -> None:
    """The world's own checkers hold the rest: validity, exactly-once, linearizability with what the liar did."""
    for seed in (1, 2):
        world = ran(busy(name, seed=seed))
        assert world.marks[f"client lie: {name}"] == 1
        assert all(client.finished for client in world.clients)
        assert sum(len(client.history) for client in world.clients) == CLIENTS * 15


@pytest.mark.parametrize("name", sorted(FALSE_CLIENTS))
def test_it_changes_no_view_of_a_calm_cluster(name: str) -> None:
    """A client alone must not be able to unseat a primary."""
    world = ran(busy(name))
    assert {one.turn.core.standing().view for one in world.replicas if one.turn is not None} == {0}


@pytest.mark.parametrize("name", sorted(FALSE_CLIENTS))
def test_a_run_is_its_seed(name: str) -> None:
    plan = busy(name, "two-bodies", seed=3)
    assert run_plan("pbft", plan).digest == run_plan("pbft", plan).digest


@pytest.mark.parametrize("name", sorted(FALSE_CLIENTS))
def test_it_costs_little_in_a_large_cluster(name: str) -> None:
    calm = run_plan("pbft", busy(n=7).but(false_clients=()))
    assert run_plan("pbft", busy(name, n=7)).events < calm.events + 6000


def test_what_it_had_executed_is_in_the_history() -> None:
    world = ran(busy("two-bodies"))
    numbers = executed_numbers(world)
    assert len(numbers) >= 5
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "one body of every number"
    assert any(str(LIAR) in repr(entry.result) for one in world.clients for _, entry in one.history), "somebody saw it"


def test_a_history_without_what_liars_did_is_refused() -> None:
    world = ran(busy("two-bodies"))
    world.had_executed.clear()
    with pytest.raises(Violation, match="linearizability"):
        world._judge_history()


def test_stolen_operations_run_once_more_under_the_name_of_the_thief() -> None:
    world = ran(busy("steal-requests"))
    assert executed_numbers(world), "its own wish is granted"
    lies = [line for line in world.trace.lines if f"lie of {LIAR}" in line]
    assert any("a request in the name of client" in line for line in lies)
    assert any("is not sealed by its client" in line for line in lies)
    asked = {number for number, _ in world.clients[0].history}
    done = [
        number for _, (_, requests) in world.order.decided.items() for client, number, _ in requests
        if client == FIRST_CLIENT
    ]
    assert set(done) == asked


def test_bad_seals_are_dropped_and_good_ones_elsewhere_suffice() -> None:
    world = ran(busy("seal-for-some"))
    assert any("is not sealed by its client" in line for line in world.trace.lines)
    assert executed_numbers(world)


def test_malformed_operations_are_refused_alike_and_what_stands_beside_them_runs() -> None:
    world = ran(busy("malformed"))
    kinds = {outcome[1] for outcomes in world.had_executed.values() for _, outcome in outcomes}
    assert {0, 3} <= kinds, "done and invalid"


class Listener(FalseClient):
    """Does nothing but keep what it is told."""

    def __init__(self, powers: ClientPowers) -> None:
        super().__init__(powers)
        self.told: list[ToClient] = []

    def heard(self, replica: ReplicaId, message: ToClient) -> None:
        self.told.append(message)


def handed(acknowledged: int, number: int, operations: list[bytes]) -> Refusal | None:
    """What a replica's gate and turn say to a request that is sealed as it should be."""
    world = World(busy("two-bodies").but(operations_each=0), protocol("pbft"))
    listener = Listener(world.false_clients[0][0].powers)
    world.false_clients[0] = [listener]
    world.start()
    listener.powers.submit(0, listener.powers.request(number, operations, acknowledged))
    world.run_until(SECOND)
    refusals = [message for message in listener.told if isinstance(message, Refusal)]
    assert bool(refusals) != any(isinstance(message, Reply) for message in listener.told), "refused, or executed"
    return refusals[0] if refusals else None


def test_limits_hold_at_the_gate() -> None:
    room = REQUEST_BYTES_MAX - 105  # of one operation, by Request.size_bytes
    assert handed(0, 1, [bytes(room)]) is None
    assert "bytes" in refused(0, 1, [bytes(room + 1)])
    assert handed(0, 1, [b""] * OPERATIONS_MAX) is None
    assert "operations" in refused(0, 1, [b""] * (OPERATIONS_MAX + 1))
    assert handed(0, OUTSTANDING_MAX, [b""]) is None
    assert "not acknowledged" in refused(0, OUTSTANDING_MAX + 1, [b""])
    assert "above what it acknowledges" in refused(5, 5, [b""])
    assert "above what it acknowledges" in refused(-1, 5, [b""])
    assert "operations" in refused(0, 1, [])


def refused(acknowledged: int, number: int, operations: list[bytes]) -> str:
    refusal = handed(acknowledged, number, operations)
    assert refusal is not None
    return refusal.reason


def test_each_says_what_it_does() -> None:
    assert len(FALSE_CLIENTS) >= 12
    assert len({told_of_client(name) for name in FALSE_CLIENTS}) == len(FALSE_CLIENTS)
    assert all(told_of_client(name).startswith("A client") for name in FALSE_CLIENTS)


def test_what_is_no_lying_client_is_a_mistake() -> None:
    world = World(busy("two-bodies"), protocol("pbft"))
    with pytest.raises(Mistake, match="there is no lying client 'nobody': choose from two-bodies"):
        false_client("nobody", world.false_clients[0][0].powers)
