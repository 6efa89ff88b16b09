"""Whole runs: with a rule turned off the checker that guards it speaks up first, and with all rules on none does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from outvote.client.session import Session
from outvote.core.checkpoints import Checkpoint
from outvote.core.committee import Committee
from outvote.core.contract import ALL, Record
from outvote.core.request_pool import RequestPool
from outvote.host.turn import Turn
from outvote.host.witness import Witness
from outvote.machines.executor import Executor
from outvote.machines.sessions import Sessions
from outvote.protocols.catalogue import protocol
from outvote.protocols.pbft import checkpoint, normal, restore, view_change
from outvote.protocols.pbft.messages import Commit
from outvote.protocols.pbft.records import Accepted, Committed, Prepared
from outvote.protocols.pbft.replica import HANDLERS
from outvote.protocols.pbft.slot import Slot
from outvote.protocols.pbft.state import State
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND

PBFT = protocol("pbft")
BUSY = Plan(
    n=4, clients=2, operations_each=40, outstanding=4, keys=3, delay_mean=3 * MILLISECOND, sync_max=5 * MILLISECOND,
    parameters={"checkpoint_interval": 4, "window": 8, "pipeline": 2, "batch_requests_max": 1}, faults_end=2 * SECOND,
    deadline=62 * SECOND,
)
POWER_FAILURES = tuple(
    Fault(at * MILLISECOND, "crash", replica, 1 + (replica + at) % 7) for at in (40, 150, 300) for replica in range(4)
) + tuple(Fault((at + 60) * MILLISECOND, "restart", replica, 0) for at in (40, 150, 300) for replica in range(4))
CRASHING = BUSY.but(faults=tuple(sorted(POWER_FAILURES)))
EQUIVOCATING = BUSY.but(liars=((0, ("equivocate",)),))
LOSSY = BUSY.but(loss=0.3, duplication=0.3, delay_mean=40 * MILLISECOND)
REPEATING = BUSY.but(
    liars=((0, ("repeated-requests",)),), parameters={**BUSY.parameters, "batch_requests_max": 8}
)
DARK = BUSY.but(liars=((0, ("silent",)),), parameters={**BUSY.parameters, "view_timeout_ms": 100})
Patch = pytest.MonkeyPatch


def violation_of(plan: Plan, seeds: range) -> str:
    """The invariant that breaks first in one of these runs."""
    for seed in seeds:
        try:
            World(plan.but(seed=seed), PBFT).run()
        except Violation as error:
            return error.invariant
    return ""


@pytest.mark.parametrize("plan", [BUSY, CRASHING, EQUIVOCATING, DARK, LOSSY])
def test_with_all_rules_on_every_invariant_holds(plan: Plan) -> None:
    assert violation_of(plan, range(3)) == ""


# ---------------------------------------------------------------------- rules turned off


def promises_overtake_the_disk(patch: Patch) -> None:
    """Parked promises leave whatever is durable."""

    def release(turn: Turn) -> None:
        while turn._parked:
            _, receiver, message, _ = turn._parked.popleft()
            turn._own.append((message, turn.voice.promise(receiver, message)))

    patch.setattr(Turn, "_release", release)


def commits_before_it_is_prepared(patch: Patch) -> None:
    """A vote of one PREPARE less; the record says the truth about it, so the certificate is the first to be missed."""
    original = Slot.prepares_suffice
    patch.setattr(Slot, "prepares_suffice", lambda slot, quorum: original(slot, quorum - 1))


def prepared_is_not_recorded(patch: Patch) -> None:
    def no_prepared(records: list[Record]) -> list[Record]:
        return [record for record in records if not isinstance(record, Prepared)]

    original = Turn._drain

    def drain(turn: Turn) -> None:
        turn.core.out.records[:] = no_prepared(turn.core.out.records)
        original(turn)

    patch.setattr(Turn, "_drain", drain)


def decides_with_one_less(patch: Patch) -> None:
    """And writes nothing down about it."""
    original = Slot.commits_suffice
    patch.setattr(Slot, "commits_suffice", lambda slot, quorum: original(slot, quorum - 1))

    def decide(state: State, slot: Slot, decision: Any) -> None:
        slot.committed = decision
        normal.deliver_ready(state)

    patch.setattr(normal, "decide", decide)


def forgets_votes_in_a_crash(patch: Patch) -> None:
    original = restore.restore_slot

    def restore_slot(state: State, record: Record) -> None:
        if not isinstance(record, Accepted) or record.position % 2:
            original(state, record)

    patch.setattr(restore, "restore_slot", restore_slot)


def certificates_left_out_of_new_logs(patch: Patch) -> None:
    original = restore.summary
    patch.setattr(
        restore, "summary", lambda state: [one for one in original(state) if not isinstance(one, Prepared)]
    )


def vouches_for_what_is_not_durable(patch: Patch) -> None:
    original = checkpoint.executed

    def executed(state: State, position: int, digest: bytes) -> None:
        original(state, position, digest)
        state.out.records[:] = [one for one in state.out.records if not isinstance(one, Committed)]

    patch.setattr(checkpoint, "executed", executed)


def keeps_with_two_votes(patch: Patch) -> None:
    original = checkpoint.on_checkpoint

    def on_checkpoint(state: State, sender: int, message: Any, seal: bytes) -> None:
        quorum = state.committee.quorum
        state.committee.quorum = quorum - 1
        original(state, sender, message, seal)
        state.committee.quorum = quorum

    table: dict[Any, Any] = HANDLERS
    patch.setitem(table, Checkpoint, on_checkpoint)


def witness_looks_away(patch: Patch) -> None:
    patch.setattr(Witness, "see", lambda _witness, _signer, _statement, _seal: None)


def client_believes_anybody(patch: Patch) -> None:
    original = Session.__init__

    def begin(session: Session, *arguments: Any) -> None:
        original(session, *arguments)
        session.committee = Committee(4)
        session.committee.weak = 1

    patch.setattr(Session, "__init__", begin)


def runs_a_repeated_request_again(patch: Patch) -> None:
    patch.setattr(Sessions, "executable", lambda _sessions, _request: True)


def answers_what_it_did_not_compute(patch: Patch) -> None:
    """One replica's answers from the client table name another position."""
    original = Executor.cached

    def cached(executor: Executor, client: int, number: int) -> Any:
        answer = original(executor, client, number)
        return None if answer is None else type(answer)(client, number, answer.position + 1, answer.results)

    patch.setattr(Executor, "cached", cached)


def pool_without_a_limit(patch: Patch) -> None:
    """Executed numbers are remembered for ever."""
    patch.setattr("outvote.core.request_pool.RECENT_PER_CLIENT_MAX", 0)
    patch.setattr(RequestPool, "mark_executed", remember_for_ever)


def remember_for_ever(pool: RequestPool, request: Any) -> None:
    pool._forget(request.key)
    pool._executed.setdefault(request.client, {})[request.number] = None


def gives_up_views_at_once(patch: Patch) -> None:
    """The timeout never grows and is shorter than a round trip."""
    original = State.__init__

    def begin(state: State, *arguments: Any) -> None:
        original(state, *arguments)
        state.config = type(state.config)(
            checkpoint_interval=4, window=8, view_timeout_ns=4 * MILLISECOND, view_timeout_growth_max=1,
        )

    patch.setattr(State, "__init__", begin)


def new_views_are_never_announced(patch: Patch) -> None:
    patch.setattr(view_change, "try_new_view", lambda _state: None)
    patch.setattr(view_change, "left_with_us", lambda _state: 0)


def votes_in_views_it_left(patch: Patch) -> None:
    """Says COMMIT for the view before, too."""
    original = view_change.leave_for

    def leave_for(state: State, view: int) -> None:
        digests = {at: slot.digest for at, slot in state.slots.items() if slot.prepared_now}
        old = state.view
        original(state, view)
        for position, digest in digests.items():
            state.out.messages.append((ALL, Commit(old, position, digest)))

    patch.setattr(view_change, "leave_for", leave_for)


RULES: tuple[tuple[Callable[[Patch], None], Plan, tuple[str, ...]], ...] = (
    (promises_overtake_the_disk, BUSY, ("promise before its record is durable",)),
    (commits_before_it_is_prepared, BUSY, ("certificate",)),
    (prepared_is_not_recorded, BUSY, ("promise without a record",)),
    (decides_with_one_less, BUSY, ("decision",)),
    (forgets_votes_in_a_crash, CRASHING, ("forgotten promise",)),
    (certificates_left_out_of_new_logs, BUSY, ("forgotten promise",)),
    (vouches_for_what_is_not_durable, CRASHING, ("vouched state lost",)),
    (keeps_with_two_votes, BUSY, ("certificate", "stable state")),
    (witness_looks_away, EQUIVOCATING, ("evidence is complete",)),
    (client_believes_anybody, BUSY, ("correct reply",)),
    (answers_what_it_did_not_compute, LOSSY, ("reply table",)),
    (runs_a_repeated_request_again, REPEATING, ("exactly-once", "reply table", "reference execution")),
    (pool_without_a_limit, BUSY, ("bounded memory",)),
    (gives_up_views_at_once, DARK, ("view storm",)),
    (new_views_are_never_announced, DARK, ("livelock",)),
    (votes_in_views_it_left, DARK, ("promise in a view left",)),
)


@pytest.mark.parametrize(("rule", "plan", "invariants"), RULES, ids=[rule.__name__ for rule, _, _ in RULES])
def test_a_rule_turned_off_is_missed(
    rule: Callable[[Patch], None], plan: Plan, invariants: tuple[str, ...], monkeypatch: Patch
) -> None:
    rule(monkeypatch)
    assert violation_of(plan, range(30)) in invariants
