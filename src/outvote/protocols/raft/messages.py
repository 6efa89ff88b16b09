"""What Raft replicas say to each other. Names are the paper's (Ongaro and Ousterhout 2014) and the thesis's.

Tags are part of the wire format: 1 to 9 are promises, 11 is a statement, 21 and up are hints. None is sealed: nobody
shows them to a third party, and a machine that lies is beyond Raft anyway. The table with senders and receivers is in
this folder's README.
"""

from __future__ import annotations

from typing import ClassVar, Final

from outvote.core.contract import Hint, Message, Request, Struct
from outvote.protocols.raft.members import Members
from outvote.types import Digest, Nanos, Position, ReplicaId


class Entry(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What one index of the log holds: requests, and the wall-clock time that the leader proposes for them. None at
    all begins a term; with `members` it changes the configuration. What a witness holds of it is not `whole`."""

    term: int
    time: Nanos
    requests: tuple[Request, ...]
    members: Members | None = None
    whole: bool = True

    def bare(self) -> Entry:
        """For a witness: without what is to be executed."""
        return Entry(self.term, 0, (), self.members, False)


class VoteStatement(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=11):
    """The vote of one replica in one term: never another."""

    term: int
    candidate: ReplicaId

    def exclusive(self) -> tuple[int, ...]:
        return 1, self.term


class RequestVote(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """Candidate to all: vote for me. A promise: it has voted for itself."""

    sealed: ClassVar[bool] = False

    term: int
    candidate: ReplicaId
    last: Position
    last_term: int
    transfer: bool = False  # the leader itself wants this election: no live leader stands against it

    def statement(self) -> VoteStatement:
        return VoteStatement(self.term, self.candidate)


class Vote(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """Voter to candidate: my vote of this term is yours."""

    sealed: ClassVar[bool] = False

    term: int
    candidate: ReplicaId

    def statement(self) -> VoteStatement:
        return VoteStatement(self.term, self.candidate)


class Appended(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """Follower to leader: up to here my log is yours, and it is durable."""

    sealed: ClassVar[bool] = False

    term: int
    match: Position


class Flushed(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=4):
    """Leader to itself, once its own disk has it: my log is durable up to here."""

    sealed: ClassVar[bool] = False

    term: int
    match: Position


class ReadQuery(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=5):
    """Follower to leader: how far must I have executed to answer a read that begins now? No context is ever used
    twice, not even across restarts: its first half is counted on the disk."""

    sealed: ClassVar[bool] = False

    term: int
    context: int


class AppendEntries(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=21):
    """Leader to followers: these come behind `previous`. Leaves before the leader's own disk has them."""

    term: int
    previous: Position
    previous_term: int
    entries: tuple[Entry, ...]
    commit: Position


class Heartbeat(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=22):
    """Leader to all: I lead this term. `round` is counted within the term. `commit_term`: of the entry at `commit`; who
    has one of that term there has all up to it as the leader has."""

    term: int
    commit: Position
    round: int
    commit_term: int = -1


class Heard(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=23):
    """Follower to leader: your heartbeat of this round has come, and I know of no later term."""

    term: int
    round: int


class Refused(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=24):
    """Follower to leader: my term is later, or I have nothing that fits at `previous`; look at `hint` or before."""

    term: int
    previous: Position
    hint: Position


class PreVote(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=25):
    """To all: would you vote for me in this term? I have not entered it."""

    term: int
    last: Position
    last_term: int


class PreVoted(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=26):
    """The answer, with the answerer's own term: one that is behind must learn of it, or it would ask for ever."""

    term: int
    asked: int
    granted: bool


class InstallSnapshot(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=27):
    """Leader to a follower: the log no longer holds what you lack; fetch the state after `position` instead. The state
    comes by itself, checked against its digest; the client table is part of it."""

    term: int
    position: Position
    position_term: int
    digest: Digest
    members: Members


class Forward(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=28):
    """Follower to leader: a client gave me this."""

    request: Request


class TimeoutNow(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=29):
    """Leader to a follower that has all of its log: begin an election at once."""

    term: int


class ReadAnswer(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=30):
    """Leader to follower: whoever has executed up to here may answer the reads of this context."""

    context: int
    position: Position


class NeedState(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=31):
    """Follower to leader: my disk has lost the state that my log begins with; I need one of `position` or later."""

    term: int
    position: Position


DONT_HAVE: Final = 0  # the words are those of Alagappan et al. 2018
HAVE_FAULTY: Final = 1
HAVE: Final = 2
IN_A_STATE: Final = 3  # compacted: a state stands for it


class Answer(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Of one entry that somebody asked for."""

    position: Position
    term: int
    what: int  # one of the four above
    entry: Entry | None = None  # with HAVE


class QueryEntries(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=32):
    """To all: these entries, each position with its term, are damaged on my disk. Who has them?"""

    term: int
    wanted: tuple[tuple[Position, int], ...]


class AnswerEntries(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=33):
    """What I have of them, in this term of mine."""

    term: int
    answers: tuple[Answer, ...]


MESSAGES: Final[tuple[type[Message], ...]] = (
    RequestVote, Vote, Appended, Flushed, ReadQuery,
    AppendEntries, Heartbeat, Heard, Refused, PreVote, PreVoted, InstallSnapshot, Forward, TimeoutNow, ReadAnswer,
    NeedState, QueryEntries, AnswerEntries,
)
