"""Reads beside the order, and large results as digests: what a session believes, and what it does when it does not."""

from __future__ import annotations

from test_session import ME, answer, numbers_sent, reply_of, session_of, statement_of

from outvote.client.session import Answered, Session
from outvote.types import MILLISECOND, ReplicaId
from outvote.wire.client_messages import (
    OUTSTANDING_MAX,
    Read,
    ReadReply,
    Reply,
    ReplyStatement,
    Submit,
    Unread,
    digest_of_results,
    encode_client_message,
)

LARGE = b"x" * 4096


def reading(n: int = 4) -> Session:
    return session_of(n, reads=True)


def asked(session: Session) -> list[tuple[ReplicaId, Read]]:
    return [(replica, message) for replica, message in session.take_outgoing() if isinstance(message, Read)]


def told(number: int, result: bytes = b"yes", position: int = 9) -> ReadReply:
    return ReadReply(-number, position, (result,))


def test_a_read_goes_to_all_and_needs_a_quorum_of_one_position() -> None:
    session = reading()
    number = session.read([b"get"], 0)
    assert number < 0
    assert [replica for replica, _ in asked(session)] == [0, 1, 2, 3]
    assert session.receive(0, told(number), 1) == []
    assert session.receive(0, told(number), 1) == [], "one replica is one voice"
    assert session.receive(1, told(number, position=8), 1) == [], "the value may have changed and changed back"
    assert session.receive(2, told(number), 1) == []
    accepted = session.receive(3, told(number), 1)
    assert accepted == [Answered(number, ReplyStatement(ME, number, 9, (b"yes",)), ())]
    assert session.outstanding == 0


def test_a_read_that_no_quorum_can_agree_on_is_ordered_at_once_under_its_number() -> None:
    session = reading()
    number = session.read([b"get"], 0)
    asked(session)
    for replica, result in ((0, b"a"), (1, b"b")):
        assert session.receive(replica, told(number, result), 1) == []
    assert session.take_outgoing() == []
    session.receive(2, Unread(-number, "busy"), 1)
    assert numbers_sent(session) == [(0, 1)]
    accepted = [session.receive(replica, reply_of(replica, 1), 2) for replica in (0, 1, 2)]
    assert [found.number for found in accepted[2]] == [number]
    again = session.read([b"get"], 3)
    assert again > 0, "after a failure the next one is ordered at once"
    assert session.read([b"get"], 3) < 0


def test_a_read_that_nobody_answers_is_ordered_when_its_patience_ends() -> None:
    session = reading()
    number = session.read([b"get"], 0)
    asked(session)
    due = session.next_deadline()
    assert due == session.config.read_patience_ns
    assert session.tick(due) == []
    assert numbers_sent(session) == [(0, 1)]
    failed = session.tick(session.config.timeout_ns)
    assert [one.number for one in failed] == [number]


def test_reads_are_limited_as_requests_are() -> None:
    session = reading()
    numbers = [session.read([b"get"], 0) for _ in range(OUTSTANDING_MAX + 1)]
    assert [number < 0 for number in numbers] == [True] * OUTSTANDING_MAX + [False]


def test_with_reads_a_write_needs_a_quorum_and_without_f_plus_one() -> None:
    session = reading()
    number = session.submit([b"put"], 0, proof=False)
    assert [bool(session.receive(replica, reply_of(replica, number), 1)) for replica in (0, 1, 2)] == [0, 0, 1]
    plain = session_of()
    answer(plain, plain.submit([b"put"], 0, proof=False))


def test_a_write_that_lacks_answers_asks_those_again_that_have_answered() -> None:
    """They tell the others what was decided."""
    session = reading()
    number = session.submit([b"put"], 0, proof=False)
    session.take_outgoing()
    for replica in (0, 1):
        session.receive(replica, reply_of(replica, number), 1)
    session.tick(session.next_deadline())
    assert [replica for replica, _ in numbers_sent(session)] == [0, 1, 2, 3]


def tentative_reply(replica: ReplicaId, number: int, result: bytes = b"yes") -> Reply:
    return Reply(statement_of(number, result), 0, b"", True)


def tentative_answers_need_a_quorum() -> None:
    session = session_of()
    number = session.submit([b"op"], 0, proof=False)
    for replica in (0, 1):
        assert session.receive(replica, tentative_reply(replica, number), 1) == []
    accepted = session.receive(2, tentative_reply(2, number), 1)
    assert [found.number for found in accepted] == [number]


def test_tentative_answers_need_a_quorum_and_final_ones_f_plus_1() -> None:
    tentative_answers_need_a_quorum()
    session = session_of()
    number = session.submit([b"op"], 0, proof=False)
    assert session.receive(0, tentative_reply(0, number), 1) == []
    assert session.receive(1, tentative_reply(1, number), 1) == []
    assert session.receive(0, Reply(statement_of(number), 0, b""), 1) == [], "said for good now, by one"
    accepted = session.receive(1, Reply(statement_of(number), 0, b""), 1)
    assert [found.number for found in accepted] == [number]


def test_a_tentative_answer_may_be_taken_back_and_a_final_one_may_not() -> None:
    session = session_of()
    number = session.submit([b"op"], 0, proof=False)
    session.receive(0, tentative_reply(0, number, b"old"), 1)
    session.receive(1, tentative_reply(1, number, b"old"), 1)
    session.receive(0, Reply(statement_of(number, b"new"), 0, b""), 2)
    assert session.receive(0, tentative_reply(0, number, b"old"), 2) == []
    assert session.receive(2, tentative_reply(2, number, b"old"), 2) == [], "two are left that say so"
    accepted = session.receive(3, Reply(statement_of(number, b"new"), 0, b""), 2)
    assert [found.statement for found in accepted] == [statement_of(number, b"new")]
    assert session.wrong_replies == [0, 0, 0, 0]


def test_a_receipt_is_of_final_answers() -> None:
    session = session_of()
    number = session.submit([b"op"], 0)
    for replica in range(4):
        statement = statement_of(number)
        sealed = reply_of(replica, number).seal
        assert session.receive(replica, Reply(statement, 0, sealed, True), 1) == []
    answer(session, number)


def digest_reply(number: int, result: bytes = LARGE) -> Reply:
    return Reply(ReplyStatement(ME, number, 9, ()), 0, b"", False, digest_of_results((result,)))


def whole_reply(number: int, result: bytes = LARGE) -> Reply:
    return Reply(statement_of(number, result), 0, b"")


def test_one_whole_result_and_digests_make_an_answer() -> None:
    session = session_of()
    number = session.submit([b"get"], 0, proof=False)
    assert session.receive(1, digest_reply(number), 1) == []
    accepted = session.receive(3, whole_reply(number), 1)
    assert [found.statement for found in accepted] == [statement_of(number, LARGE)]


def a_whole_result_that_is_not_what_the_digests_stand_for() -> None:
    session = session_of()
    number = session.submit([b"get"], 0, proof=False)
    session.take_outgoing()
    assert session.receive(3, whole_reply(number, b"y" * 4096), 1) == []
    for replica in (0, 1):
        assert session.receive(replica, digest_reply(number), 1) == []
    due = session.next_deadline()
    assert due == 1 + session.config.whole_ns < session.config.retry_ns, "soon asked of everybody"
    session.tick(due)
    assert [replica for replica, message in session.take_outgoing() if isinstance(message, Submit)] == [0, 1, 2, 3]
    accepted = session.receive(0, whole_reply(number), due)
    assert [found.statement for found in accepted] == [statement_of(number, LARGE)]
    assert session.wrong_replies == [0, 0, 0, 1]


def test_a_whole_result_that_is_not_what_the_digests_stand_for() -> None:
    a_whole_result_that_is_not_what_the_digests_stand_for()


def test_a_read_whose_large_result_is_withheld_asks_everybody_and_then_others_first() -> None:
    session = reading()
    number = session.read([b"get"], 0)
    chosen = asked(session)[0][1].whole
    small = ReadReply(-number, 9, (), digest_of_results((LARGE,)))
    for replica in range(4):
        assert session.receive(replica, small, 1) == []
    session.tick(session.next_deadline())
    assert [(replica, message.whole) for replica, message in asked(session)] == [(one, -1) for one in range(4)]
    accepted = session.receive((chosen + 1) % 4, ReadReply(-number, 9, (LARGE,)), 200 * MILLISECOND)
    assert [found.statement.results for found in accepted] == [(LARGE,)]
    for _ in range(4):
        session.read([b"get"], 0)
        assert asked(session)[0][1].whole != chosen


def test_a_large_request_goes_to_all_at_once() -> None:
    session = session_of()
    session.submit([b"small"], 0, proof=False)
    session.submit([LARGE], 0, proof=False)
    sent = numbers_sent(session)
    assert [replica for replica, number in sent if number == 1] == [0]
    assert [replica for replica, number in sent if number == 2] == [0, 1, 2, 3]


def test_four_kibibytes_come_once() -> None:
    replies = [whole_reply(1), digest_reply(1), digest_reply(1), digest_reply(1)]
    sizes = [len(encode_client_message(reply)) for reply in replies]
    assert sizes[0] < 4096 + 40
    assert max(sizes[1:]) < 60
