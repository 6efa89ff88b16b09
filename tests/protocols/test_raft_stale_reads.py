"""What a replica says of the age of its state: as of when it asked, and nothing that a deposed leader told it."""

from __future__ import annotations

import pytest
from raft_steps import Steps

from outvote.host.reads import Reads
from outvote.protocols.raft.messages import Heartbeat, ReadAnswer, ReadQuery
from outvote.types import FIRST_CLIENT, MILLISECOND, SECOND, ReplicaId
from outvote.wire.client_messages import Read, ReadReply, Unread

LEARNER: ReplicaId = 3


def led() -> Steps:
    """Three voters and a learner, and one operation that all of them have."""
    steps = Steps(4, learners=1 << LEARNER)
    steps.elect(0)
    steps.submit(0, 1)
    steps.settle()
    steps.pass_time(200 * MILLISECOND, 0)
    steps.settle()
    assert steps.executed(LEARNER) == [1]
    return steps


def test_a_learner_knows_its_state_to_be_of_when_it_asked() -> None:
    steps = led()
    core = steps.cores[LEARNER]
    assert core.known_at is None
    asked_at = core.now = steps.now
    core.ask_to_read()
    steps.drain(LEARNER)
    [query] = steps.take(ReadQuery)
    steps.now += 300 * MILLISECOND  # on its way
    steps.hear(query)
    steps.settle()
    position, moment = core.known_at or (0, 0)
    assert moment == asked_at, "not when the answer came"
    assert position == steps.state(0).commit == steps.state(LEARNER).delivered


def test_what_it_asks_of_a_deposed_leader_makes_nothing_newer() -> None:
    steps = led()
    steps.letters.clear()
    steps.elect(1, (1, 2))
    steps.submit(1, 2)
    steps.settle((1, 2))
    core = steps.cores[LEARNER]
    core.now = steps.now
    core.ask_to_read()
    steps.drain(LEARNER)
    for _ in range(3):
        steps.hear((LEARNER, 0, steps.take(ReadQuery)[0][2]))
        steps.pass_time(200 * MILLISECOND, 0)
        steps.settle((0, LEARNER))
        assert not steps.take(ReadAnswer)
        assert core.known_at is None
        steps.pass_time(250 * MILLISECOND, LEARNER)  # and it asks again
    assert steps.executed(2) == [1, 2] or steps.executed(1) == [1, 2]


def test_the_planted_answer_of_a_deposed_leader_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: a leader that answers without asking a majority."""
    monkeypatch.setattr("outvote.protocols.raft.reads.holds_lease", lambda state: state.leads)
    with pytest.raises(AssertionError):
        test_what_it_asks_of_a_deposed_leader_makes_nothing_newer()


class Executed:
    """An executor at a position, whose every query gives b"x"."""

    def __init__(self, position: int) -> None:
        self.position = position

    def read(self, client: int, operations: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return (b"x",) * len(operations)


class Told:
    """A voice that keeps what it said."""

    def __init__(self) -> None:
        self.said: list[ReadReply | Unread] = []

    def read(self, client: int, reply: ReadReply, whole: ReplicaId, proof: bool) -> None:
        self.said.append(reply)

    def unread(self, client: int, reply: Unread) -> None:
        self.said.append(reply)


@pytest.mark.parametrize(("age_ms", "position", "answered"), [(50, 9, True), (150, 9, False), (50, 8, False)])
def test_it_answers_at_once_only_from_a_state_that_is_new_enough(age_ms: int, position: int, answered: bool) -> None:
    steps = led()
    core = steps.cores[LEARNER]
    core.now = 10 * SECOND
    core.known_at = (9, core.now - age_ms * MILLISECOND)
    reads, told = Reads(), Told()
    reads.take(FIRST_CLIENT, Read(1, (b"q",), -1, 100 * MILLISECOND))
    reads.begin(core, Executed(position), told)  # type: ignore[arg-type]
    assert told.said == ([ReadReply(1, position, (b"x",), b"", age_ms * MILLISECOND)] if answered else [])
    assert bool(reads) != answered


def test_a_read_without_an_age_waits_for_the_others() -> None:
    steps = led()
    core = steps.cores[LEARNER]
    core.known_at = (9, core.now)
    reads, told = Reads(), Told()
    reads.take(FIRST_CLIENT, Read(1, (b"q",), -1))
    reads.begin(core, Executed(9), told)  # type: ignore[arg-type]
    assert not told.said
    assert steps.cores[LEARNER].out.messages, "it asks the leader"
    assert isinstance(core.out.messages[0][1], ReadQuery)
    assert not steps.take(Heartbeat)
