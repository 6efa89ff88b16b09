"""One replica after the other lies to a client about one request and is rejuvenated: f at a time, more in the end.

Passes if what was said on a connection that has ended counts no more, be it an answer, a digest, a refusal, a view, or
the answer to a read; and if the honest ones, asked again, are believed.
"""

from __future__ import annotations

from outvote.client.config import SessionConfig
from outvote.client.session import Answered, Session
from outvote.client.votes import Votes, said_of
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Struct
from outvote.types import FIRST_CLIENT, ReplicaId, Seal
from outvote.wire.client_messages import ReadReply, Refusal, Reply, ReplyStatement, Submit, ToClient, Unread

ME, N = FIRST_CLIENT, 4
LIE, TRUTH = (b"forged",), (b"true",)
FAR = 1_000_000


class Seals:
    """Answers are checked by channel here."""

    def seal(self, statement: Struct) -> Seal:
        return bytes(64)

    def opens(self, claim: Claim) -> bool:
        return True


def session_of(**settings: bool) -> Session:
    session = Session(ME, Committee(N), Seals(), Seals(), SessionConfig(**settings))
    for replica in range(N):
        session.connected(replica)
    return session


def rejuvenated(session: Session, replica: ReplicaId) -> None:
    session.disconnected(replica)
    session.connected(replica)


def reply(number: int, results: tuple[bytes, ...], view: int = 0, tentative: bool = False) -> Reply:
    return Reply(ReplyStatement(ME, number, 1, results), view, b"", tentative)


def lied_in_turn(session: Session, lies: list[ToClient]) -> list[Answered]:
    """Each by another replica, that is rejuvenated afterwards; all that was believed."""
    believed: list[Answered] = []
    for liar, lie in enumerate(lies):
        believed += session.receive(liar, lie, 1)
        rejuvenated(session, liar)
    return believed


def answers_do_not_add_up() -> None:
    for tentative in (False, True):
        session = session_of()
        number = session.submit([b"op"], 0, proof=False)
        lies: list[ToClient] = [reply(number, LIE, FAR, tentative)] * 3
        assert lied_in_turn(session, lies) == []
        assert session.view < FAR, "nor do the views that they say they are in"
        session.take_outgoing()
        rejuvenated(session, 2)
        asked = [to for to, message in session.take_outgoing() if isinstance(message, Submit)]
        assert asked == [2], "whose word is forgotten is asked again"
        assert session.receive(0, reply(number, TRUTH), 2) == []
        (answered,) = session.receive(1, reply(number, TRUTH), 2)
        assert answered.statement.results == TRUTH


def test_answers_do_not_add_up() -> None:
    answers_do_not_add_up()


def test_refusals_do_not_add_up() -> None:
    session = session_of()
    number = session.submit([b"op"], 0, proof=False)
    assert lied_in_turn(session, [Refusal(number, "no")] * 3) == []
    assert session.receive(3, Refusal(number, "no"), 1) == [], "one of four says so"
    session.receive(0, reply(number, TRUTH), 2)
    (answered,) = session.receive(1, reply(number, TRUTH), 2)
    assert answered.statement.results == TRUTH


def test_reads_do_not_add_up() -> None:
    session = session_of(reads=True)
    number = -session.read([b"op"], 0)
    assert lied_in_turn(session, [ReadReply(number, 7, LIE)] * 3) == []
    assert lied_in_turn(session, [Unread(number, "no")] * 3) == [], "nor do refusals"
    assert session.receive(0, ReadReply(number, 7, TRUTH), 1) == []
    assert session.receive(1, ReadReply(number, 7, TRUTH), 1) == []
    (answered,) = session.receive(2, ReadReply(number, 7, TRUTH), 1)
    assert answered.statement.results == TRUTH


def test_a_forgotten_word_leaves_nothing_and_the_others_stay() -> None:
    votes = Votes()
    said, results = said_of(1, LIE, b"")
    votes.add(0, said, results)
    votes.add(1, said, results, tentative=True)
    assert votes.forget(0)
    assert not votes.forget(0)
    assert votes.largest() == 1
    assert votes.forget(1)
    assert (votes.groups, votes.spoken) == ({}, {})
