"""The session under scripted replies: what it believes, what it repeats, what it says when it gives up."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outvote.client.config import SessionConfig
from outvote.client.session import SHOWN_EVERY, Answered, Session, bundle_size, check_operation
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Struct, canonical
from outvote.errors import Mistake, NotEnoughReplicas, Refused, UnknownOutcome
from outvote.types import FIRST_CLIENT, MILLISECOND, NEVER, SECOND, PartyId, ReplicaId, Seal
from outvote.wire.client_messages import (
    OPERATIONS_MAX,
    OUTSTANDING_MAX,
    REQUEST_BYTES_MAX,
    Refusal,
    Reply,
    ReplyStatement,
    Submit,
)

ME = FIRST_CLIENT + 3
FORGED: Seal = b"f" * 64


def seal_of(party: PartyId, statement: Struct) -> Seal:
    """Stands in for a signature: only this file's parties make it, and it binds signer and values."""
    return sha256(party.to_bytes(8, "big") + canonical(statement)).digest() * 2


class PretendSealer:
    def seal(self, statement: Struct) -> Seal:
        return seal_of(ME, statement)


class PretendOpener:
    def __init__(self) -> None:
        self.opened = 0

    def opens(self, claim: Claim) -> bool:
        self.opened += 1
        return claim.seal == seal_of(claim.signer, claim.statement)


def session_of(n: int = 4, connected: int | None = None, **settings: Any) -> Session:
    session = Session(ME, Committee(n), PretendSealer(), PretendOpener(), SessionConfig(**settings))
    for replica in range(n if connected is None else connected):
        session.connected(replica)
    return session


def statement_of(number: int, result: bytes = b"yes", position: int = 9, client: int = ME) -> ReplyStatement:
    return ReplyStatement(client, number, position, (result,))


def reply_of(replica: ReplicaId, number: int, result: bytes = b"yes", view: int = 0) -> Reply:
    statement = statement_of(number, result)
    return Reply(statement, view, seal_of(replica, statement))


def answer(session: Session, number: int, now: int = 1) -> None:
    accepted = [session.receive(replica, reply_of(replica, number), now) for replica in (0, 1)]
    assert [found.number for found in accepted[1]] == [number]


def numbers_sent(session: Session) -> list[tuple[ReplicaId, int]]:
    out = []
    for replica, message in session.take_outgoing():
        assert isinstance(message, Submit)
        out.append((replica, message.request.number))
    return out


# ---- believing ---------------------------------------------------------------------------------------------


def test_accepts_when_one_more_than_the_liars_agree() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    assert session.receive(2, reply_of(2, number), 1) == []
    accepted = session.receive(0, reply_of(0, number), 2)
    assert accepted == [
        Answered(
            number,
            statement_of(number),
            ((2, seal_of(2, statement_of(number))), (0, seal_of(0, statement_of(number)))),
        )
    ]
    assert session.acknowledged == number
    assert session.next_deadline() == NEVER


def test_liars_that_agree_need_one_more_than_they_are() -> None:
    session = session_of(7)
    number = session.submit([b"op"], 0)
    for liar in (0, 1):  # f = 2
        assert session.receive(liar, reply_of(liar, number, b"no"), 1) == []
    for honest in (2, 3):
        assert session.receive(honest, reply_of(honest, number), 1) == []
    accepted = session.receive(4, reply_of(4, number), 1)
    assert accepted[0].statement.results == (b"yes",)
    assert session.wrong_replies == [1, 1, 0, 0, 0, 0, 0]
    session.receive(5, reply_of(5, number, b"late lie"), 2)
    session.receive(5, reply_of(5, number, b"late lie"), 2)
    session.receive(6, reply_of(6, number), 2)
    assert session.wrong_replies == [1, 1, 0, 0, 0, 1, 0]


def test_one_replica_is_one_voice_however_often_it_speaks() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    for _ in range(5):
        assert session.receive(1, reply_of(1, number), 1) == []
    assert session.receive(1, reply_of(3, number), 1) == []


def test_a_forged_seal_is_no_voice_and_is_checked_once() -> None:
    session = session_of()
    opener = session._opener
    assert isinstance(opener, PretendOpener)
    number = session.submit([b"op"], 0)
    forged = Reply(statement_of(number), 0, FORGED)
    session.receive(1, forged, 1)
    assert opener.opened == 0
    assert session.receive(0, reply_of(0, number), 1) == []
    assert session.forged_seals == [0, 1, 0, 0]
    for _ in range(10):
        assert session.receive(1, forged, 1) == []
    assert opener.opened == 2
    assert len(session.receive(2, reply_of(2, number), 1)) == 1
    assert opener.opened == 3


def test_without_a_proof_no_seal_is_asked_for_or_looked_at() -> None:
    session = session_of()
    opener = session._opener
    assert isinstance(opener, PretendOpener)
    plain, proven = session.submit([b"op"], 0, proof=False), session.submit([b"op"], 0)
    asked = [message.request for _, message in session.take_outgoing() if isinstance(message, Submit)]
    assert [request.receipt for request in asked] == [False, True]
    assert all(request.seal == seal_of(ME, request.statement()) for request in asked)
    for number in (plain, proven):
        assert session.receive(1, Reply(statement_of(number), 0, b""), 1) == []
    assert len(session.receive(2, Reply(statement_of(plain), 0, b""), 1)) == 1
    assert opener.opened == 0
    assert session.receive(2, reply_of(2, proven), 1) == [], "a proof needs f + 1 seals, and replica 1 gave none"
    assert len(session.receive(0, reply_of(0, proven), 1)) == 1


def test_answers_to_others_and_to_no_question_are_strays() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    for replica in range(4):
        alien = statement_of(number, client=ME + 1)
        assert session.receive(replica, Reply(alien, 0, seal_of(replica, alien)), 1) == []
        assert session.receive(replica, reply_of(replica, number + 1), 1) == []
    assert session.receive(9, reply_of(9, number), 1) == []
    assert session.receive(-1, reply_of(0, number), 1) == []
    assert session.counters["strays"] == 8
    answer(session, number)


@given(
    n=st.integers(1, 10),
    script=st.lists(
        st.tuples(
            st.integers(0, 9),  # who speaks
            st.integers(0, 9),  # whose seal it shows
            st.integers(1, 3),  # about which number
            st.sampled_from([b"a", b"b"]),
            st.booleans(),  # sealed at all
        ),
        max_size=60,
    ),
)
def test_never_accepts_what_fewer_than_f_plus_one_sealed(
    n: int, script: list[tuple[int, int, int, bytes, bool]]
) -> None:
    session = session_of(n)
    committee = Committee(n)
    waited_for = [session.submit([b"op"], 0) for _ in range(3)]
    sealed: dict[tuple[int, bytes], set[int]] = {}
    first: set[tuple[int, int]] = set()
    done: list[int] = []
    for speaker, signer, number, result, honest in script:
        statement = statement_of(number, result)
        seal = seal_of(signer, statement) if honest else FORGED
        if speaker < n and (speaker, number) not in first:
            first.add((speaker, number))
            if honest and signer == speaker:
                sealed.setdefault((number, result), set()).add(speaker)
        accepted = session.receive(speaker, Reply(statement, 0, seal), 1)
        for found in accepted:
            supporters = sealed[found.number, found.statement.results[0]]
            assert len(supporters) >= committee.weak
            assert {replica for replica, _ in found.seals} <= supporters
            assert all(seal == seal_of(replica, found.statement) for replica, seal in found.seals)
            done.append(found.number)
        enough = len(sealed.get((number, result), ())) >= committee.weak
        assert not enough or number in done  # and it never overlooks one either
    assert len(done) == len(set(done))
    assert session.acknowledged == min([number for number in waited_for if number not in done], default=4) - 1


# ---- the leader --------------------------------------------------------------------------------------------


def test_sends_to_the_believed_leader_which_one_liar_cannot_choose() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    assert numbers_sent(session) == [(0, number)]
    session.receive(0, reply_of(0, number, view=1 << 60), 1)
    assert session.view == 0
    session.receive(1, reply_of(1, number, view=6), 1)
    assert session.view == 6
    assert session.leader == 2
    following = session.submit([b"op"], 2)
    assert numbers_sent(session) == [(2, following)]


def test_sends_to_all_when_the_leader_is_away() -> None:
    session = session_of()
    session.disconnected(0)
    number = session.submit([b"op"], 0)
    assert numbers_sent(session) == [(1, number), (2, number), (3, number)]
    session.connected(0)
    assert numbers_sent(session) == [(0, number)]


def test_every_sixteenth_request_is_shown_to_all() -> None:
    """Replicas that do not lead measure the leader by it."""
    session = session_of()
    sent = []
    for _ in range(3 * SHOWN_EVERY):
        number = session.submit([b"op"], 0)
        sent.append(len(numbers_sent(session)))
        answer(session, number)
    assert [index + 1 for index, replicas in enumerate(sent) if replicas == 4] == [16, 32, 48]
    assert sent.count(1) == 45


# ---- repeating ---------------------------------------------------------------------------------------------


def test_repeats_to_those_that_have_not_answered_ever_more_slowly() -> None:
    session = session_of(timeout_ns=100 * SECOND)
    number = session.submit([b"op"], 0)
    session.take_outgoing()
    session.receive(2, reply_of(2, number), 1)
    assert session.tick(399 * MILLISECOND) == []
    assert numbers_sent(session) == []
    gaps = []
    now = 0
    for _ in range(6):
        due = session.next_deadline()
        gaps.append((due - now) // MILLISECOND)
        now = due
        assert session.tick(now) == []
        assert numbers_sent(session) == [(0, number), (1, number), (3, number)]
    assert gaps == [400, 800, 1600, 3200, 4000, 4000]
    assert session.counters["repeats"] == 6


def test_a_replica_that_connects_gets_what_it_should_have() -> None:
    session = session_of(connected=0)
    early = session.submit([b"op"], 0)
    assert numbers_sent(session) == []
    session.connected(3)
    assert numbers_sent(session) == [(3, early)]
    session.connected(3)
    assert numbers_sent(session) == []
    session.disconnected(3)
    session.connected(3)
    assert numbers_sent(session) == [(3, early)]
    session.connected(0)
    assert numbers_sent(session) == [(0, early)]
    later = session.submit([b"op"], 0)
    assert numbers_sent(session) == [(0, later)]
    session.connected(1)
    assert numbers_sent(session) == [(1, early)]


def test_every_copy_of_a_number_is_the_same_sealed_request() -> None:
    session = session_of()
    session.submit([b"op", b"two"], 0)
    first = session.take_outgoing()[0][1]
    answered = session.submit([b"other"], 0)
    answer(session, answered)
    session.tick(SECOND)
    copies = [message for _, message in session.take_outgoing() if message == first]
    assert len(copies) == 4
    assert isinstance(first, Submit)
    assert first.request.seal == seal_of(ME, first.request.statement())


# ---- giving up ---------------------------------------------------------------------------------------------


def test_unlike_answers_leave_the_outcome_unknown() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    session.receive(0, reply_of(0, number, b"a"), 1)
    session.receive(1, reply_of(1, number, b"b"), 1)
    [failed] = session.tick(10 * SECOND)
    assert failed.number == number
    assert isinstance(failed.error, UnknownOutcome)
    text = str(failed.error)
    assert "2 replicas answered, 2 different answers: more than f = 1 of the 4 replicas may be faulty" in text
    assert "may yet be executed" in text
    assert session.next_deadline() == NEVER
    for replica in range(4):
        assert session.receive(replica, reply_of(replica, number), 11 * SECOND) == []


def test_too_few_connections_say_whether_anybody_was_handed_the_request() -> None:
    never = session_of(connected=0)
    never.submit([b"op"], 0)
    [failed] = never.tick(10 * SECOND)
    assert isinstance(failed.error, NotEnoughReplicas)
    assert not failed.error.may_execute
    assert "0 of the 4 replicas can be reached, 3 are needed" in str(failed.error)
    maybe = session_of(connected=2)
    maybe.submit([b"op"], 0)
    maybe.tick(SECOND)
    [failed] = maybe.tick(10 * SECOND)
    assert isinstance(failed.error, NotEnoughReplicas)
    assert failed.error.may_execute


def test_a_number_given_up_is_acknowledged_by_the_next_request() -> None:
    session = session_of()
    stuck = session.submit([b"op"], 0)
    session.take_outgoing()
    following = session.submit([b"op"], 0)
    [(_, message)] = session.take_outgoing()
    assert isinstance(message, Submit)
    assert message.request.acknowledged == stuck - 1
    answer(session, following)
    assert session.acknowledged == stuck - 1
    session.give_up(stuck, 1)
    assert session.acknowledged == following
    session.give_up(stuck, 1)
    session.submit([b"op"], 2)
    [(_, message)] = session.take_outgoing()
    assert isinstance(message, Submit)
    assert message.request.acknowledged == following
    assert session.tick(NEVER - 1)[0].number == following + 1


# ---- refusals ----------------------------------------------------------------------------------------------


def test_one_refusal_is_hearsay() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    for _ in range(4):
        session.receive(3, Refusal(number, "I do not like it"), 1)
    assert session.tick(2) == []
    [failed] = session.tick(10 * SECOND)
    assert isinstance(failed.error, UnknownOutcome)
    assert "replica 3 refused: I do not like it" in str(failed.error)


def test_enough_refusals_and_no_answer_are_a_refusal() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    session.receive(1, Refusal(number, "unknown client"), 1)
    session.receive(2, Refusal(number, "unknown client"), 1)
    assert session.tick(2) == []
    [failed] = session.tick(10 * SECOND)
    assert isinstance(failed.error, Refused)
    assert "unknown client" in str(failed.error)


def test_refusals_of_all_but_the_liars_end_the_wait_at_once() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    session.receive(0, Refusal(number, "nonsense"), 1)
    session.receive(1, Refusal(number, "seal is wrong"), 1)
    session.receive(2, Refusal(number, "seal is wrong"), 1)
    assert session.next_deadline() <= 1
    [failed] = session.tick(1)
    assert isinstance(failed.error, Refused)
    assert "seal is wrong" in str(failed.error)


def test_an_answer_beats_refusals_and_busy_is_never_a_verdict() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    for replica in (2, 3):
        session.receive(replica, Refusal(number, "no"), 1)
    answer(session, number)
    crowded = session.submit([b"op"], 2)
    for replica in range(4):
        session.receive(replica, Refusal(crowded, "busy: 4096 requests wait"), 3)
    assert session.tick(4) == []
    [failed] = session.tick(11 * SECOND)
    assert isinstance(failed.error, UnknownOutcome)
    assert "busy: 4096 requests wait" in str(failed.error)


def test_a_refused_connection_is_told_when_nobody_is_left() -> None:
    session = session_of(connected=0)
    session.submit([b"op"], 0)
    session.receive(2, Refusal(0, "x" * 5000), 1)
    [failed] = session.tick(10 * SECOND)
    assert "replica 2 refused: xxx" in str(failed.error)
    assert len(str(failed.error)) < 600


# ---- bounds ------------------------------------------------------------------------------------------------


def test_at_most_so_many_numbers_are_outstanding() -> None:
    session = session_of()
    numbers = [session.submit([b"op"], 0) for _ in range(OUTSTANDING_MAX + 5)]
    assert [number for replica, number in numbers_sent(session) if replica == 0] == numbers[:OUTSTANDING_MAX]
    assert session.room == -5
    answer(session, numbers[1])
    assert numbers_sent(session) == []  # the window starts at the oldest open number
    answer(session, numbers[0])
    sent = session.take_outgoing()
    assert [m.request.number for _, m in sent if isinstance(m, Submit)] == numbers[-5:-3]
    for _, message in sent:
        assert isinstance(message, Submit)
        assert message.request.number - message.request.acknowledged <= OUTSTANDING_MAX
    failed = session.tick(10 * SECOND)
    assert [failure.number for failure in failed] == numbers[2:]
    assert session.outstanding == 0


def test_waiting_operations_are_bounded_and_never_sent_ones_say_so() -> None:
    session = session_of(waiting_max=3, first_number=1000)
    numbers = [session.submit([b"op"], 0) for _ in range(OUTSTANDING_MAX)]
    assert numbers[0] == 1000
    session.submit([b"op", b"op", b"op"], 0)
    with pytest.raises(Mistake, match="3 operations wait already"):
        session.submit([b"op"], 0)
    failed = session.tick(10 * SECOND)
    assert isinstance(failed[0].error, UnknownOutcome)
    assert isinstance(failed[-1].error, NotEnoughReplicas)
    assert not failed[-1].error.may_execute
    session.submit([b"op"], 11 * SECOND)
    assert len(session.take_outgoing()) > 0


def test_oversized_requests_are_mistakes_at_once() -> None:
    session = session_of()
    with pytest.raises(Mistake, match="at least one"):
        session.submit([], 0)
    with pytest.raises(Mistake, match="too large"):
        session.submit([bytes(REQUEST_BYTES_MAX)], 0)
    with pytest.raises(Mistake, match="do not fit"):
        session.submit([b"op"] * (OPERATIONS_MAX + 1), 0)
    with pytest.raises(Mistake, match="do not fit"):
        session.submit([bytes(REQUEST_BYTES_MAX // 2)] * 2, 0)
    assert session.outstanding == 0


@given(st.lists(st.integers(0, REQUEST_BYTES_MAX - 105), max_size=40))
def test_bundles_are_as_large_as_the_limits_allow(sizes: list[int]) -> None:
    operations = [bytes(size) for size in sizes]
    for operation in operations:
        check_operation(operation)
    count = bundle_size(operations)
    assert count >= min(1, len(operations))
    session = session_of()
    if count:
        session.submit(operations[:count], 0)
        (_, message), *_ = session.take_outgoing()
        assert isinstance(message, Submit)
        assert message.request.size_bytes() <= REQUEST_BYTES_MAX
    if count < len(operations):
        with pytest.raises(Mistake):
            session.submit(operations[: count + 1], 0)


def test_a_bundle_has_a_bounded_number_of_operations() -> None:
    assert bundle_size([b"op"] * 1000) == OPERATIONS_MAX
    with pytest.raises(Mistake):
        check_operation(bytes(REQUEST_BYTES_MAX - 104))


def test_kept_answers_are_bounded() -> None:
    session = session_of()
    for _ in range(500):
        answer(session, session.submit([b"op"], 0))
    assert len(session._settled) == OUTSTANDING_MAX
