"""Who may call what: stated by the class, decided in the agreed order, whatever clients are up to."""

from __future__ import annotations

import pytest

from outvote.core.contract import Delivery, Request
from outvote.errors import Mistake, Refused
from outvote.machines.contract import Context
from outvote.machines.executor import Executor
from outvote.machines.interface import describe
from outvote.machines.key_value import KeyValueStore
from outvote.machines.machine import Rejected, StateMachine, command, query
from outvote.machines.operations import FAILED, decode_outcome, encode_operation, outcome_kind
from outvote.protocols.catalogue import protocol
from outvote.simulator.plan import Plan
from outvote.simulator.workload import StoreWorkload
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, MILLISECOND, SECOND

OWNER, GUEST, BANNED = 70000, 70001, 70002


class Board(StateMachine):
    """The owner writes and bans, guests read, and who is banned does not even that."""

    text: str = ""
    banned: set[int] = set()  # noqa: RUF012 - copied for each instance
    asked: int = 0

    def allows(self, context: Context, operation: str) -> bool:
        if context.client in self.banned:
            raise Rejected("you are banned")
        if operation == "broken":
            return bool(1 // 0)
        return operation == "read" or context.client == OWNER

    @command
    def write(self, text: str) -> None:
        self.text = text

    @command
    def ban(self, client: int) -> None:
        self.banned.add(client)

    @command
    def broken(self) -> None:
        self.text = "nobody comes so far"

    @query
    def read(self) -> str:
        return self.text


def call(board: Board, client: int, name: str, *arguments: object) -> bytes:
    return board.apply(encode_operation(name, arguments), Context(1, 1, client, b""))


def test_who_may_not_is_refused_before_anything_happens() -> None:
    board = Board()
    assert decode_outcome(call(board, OWNER, "write", "hello"), None) is None
    assert decode_outcome(call(board, GUEST, "read"), str) == "hello"
    with pytest.raises(Refused, match=f"client {GUEST} may not call write"):
        decode_outcome(call(board, GUEST, "write", "mine"), None)
    assert board.text == "hello"


def test_the_state_decides_as_it_is_in_the_order() -> None:
    board = Board()
    assert decode_outcome(call(board, BANNED, "read"), str) == ""
    call(board, OWNER, "ban", BANNED)
    with pytest.raises(Refused, match="you are banned"):
        decode_outcome(call(board, BANNED, "read"), str)


def test_a_guard_that_raises_lets_nothing_run() -> None:
    board = Board()
    assert outcome_kind(call(board, OWNER, "broken")) == FAILED
    assert board.text == ""


def test_within_one_request_each_operation_is_asked_about() -> None:
    executor = Executor(Board())
    operations = tuple(encode_operation(*one) for one in (("write", ["a"]), ("read", [])))
    [answer] = executor.deliver(Delivery(1, 1, (Request(GUEST, 1, 0, operations, b""),), 0, False))
    assert decode_outcome(answer.results[1], str) == ""


class AsyncGuard(StateMachine):
    async def allows(self, context: Context, operation: str) -> bool:  # type: ignore[override]
        return True

    @command
    def go(self) -> None: ...


class NarrowGuard(StateMachine):
    def allows(self, context: Context) -> bool:  # type: ignore[override]
        return True

    @command
    def go(self) -> None: ...


@pytest.mark.parametrize("kind", [AsyncGuard, NarrowGuard])
def test_a_guard_that_cannot_be_asked_is_a_mistake(kind: type[StateMachine]) -> None:
    with pytest.raises(Mistake, match="allows"):
        kind()


def test_it_cannot_be_a_command() -> None:
    with pytest.raises(Mistake, match="every machine has a method of this name"):

        class Confused(StateMachine):
            @command
            def allows(self, operation: str) -> bool:  # type: ignore[override]
                return True


# ---------------------------------------------------------------------- hostile clients in a cluster

HONEST = 2


class GuardedStore(KeyValueStore, derived=()):
    """Strangers may look and not touch."""

    def allows(self, context: Context, operation: str) -> bool:
        return context.client < FIRST_CLIENT + HONEST or operation in ("get", "list")


class GuardedWorkload(StoreWorkload):
    def __init__(self, keys: int) -> None:
        super().__init__(keys)
        self.machine = GuardedStore


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    "sins",
    [("many-bodies", "two-bodies"), ("malformed", "flood-requests"), ("steal-requests", "retransmit"),
     ("seal-for-some", "backups-only", "count-down")],
)
def test_hostile_clients_and_a_lying_replica_break_no_rule_of_the_class(sins: tuple[str, ...], seed: int) -> None:
    """The world's checkers hold that honest replicas never part; here, that strangers changed nothing."""
    plan = Plan(
        seed=seed, clients=HONEST, operations_each=20, outstanding=3, keys=2, pause_max=SECOND // 5,
        parameters={"checkpoint_interval": 4, "window": 8, "view_timeout_ms": 300}, delay_mean=3 * MILLISECOND,
        liars=((3, ("equivocate",)),), false_clients=(sins, sins), faults_end=3 * SECOND, deadline=400 * SECOND,
    )
    world = World(plan, protocol("pbft"), workload=GuardedWorkload(plan.keys))
    world.run()
    interface = describe(GuardedStore)
    reads = {interface.encode("get", (f"k{key}",)) for key in range(2)}
    strangers = [
        (operation, outcome) for (client, _), done in world.had_executed.items() if client >= FIRST_CLIENT + HONEST
        for operation, outcome in done
    ]
    assert strangers, "they were heard"
    for operation, outcome in strangers:
        if operation not in reads:
            with pytest.raises(Refused):
                decode_outcome(outcome, None)
    for replica in range(3):
        turn = world.replicas[replica].turn
        assert turn is not None
        store = turn.executor.machine
        assert isinstance(store, GuardedStore)
        assert all(int(entry.value.split(".")[0]) < FIRST_CLIENT + HONEST for entry in store.entries.values())
