"""Handing the keys over from an era's members to the next one's, at one replica: the component
`broadcast/key_resharing.py` between the messages that it is made of and the record of what was said.

1. Old members deal, new ones judge: KeyResharing. What is said is recorded first, and said again to who asks.
2. A new member that knows what was agreed on records it. With its share in hand it says POSSESSED(what came out, a
   signature with the share).
3. Whoever has heard n' - f' of them with one content, and found their signatures right, knows it: one of f' + 1 is
   correct, and n' - 2f' >= f' + 1 correct members hold shares, with which they can help the others. An old member then
   puts it into what it proposes (membership.py).

A new member without a share - it was away, or a liar was believed against it - asks for the transcript, whose digest
the roster has, and for values of its row, f' + 1 of which give its share. Until then it takes part in nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from outvote.broadcast.coin import Coin
from outvote.broadcast.key_generation import DEALING, JUDGING, Agreed
from outvote.broadcast.key_resharing import HANDING, KeyResharing, Place, Said
from outvote.core.contract import ALL, Outbox, canonical, digest_of
from outvote.errors import Lie
from outvote.protocols.honeybadger.membership import Change, Era, Handed, Members, proper
from outvote.protocols.honeybadger.messages import Handing, Helping, Needing, Possessed, Transcribed
from outvote.protocols.honeybadger.records import Passed, reshared
from outvote.protocols.honeybadger.shares import Ceremony, Group, Outcome, Shares
from outvote.types import Digest, Position, ReplicaId

_STAGES: Final = (DEALING, HANDING, JUDGING)
POSSESSION_BYTES_MAX: Final = 96
AGAIN_EVERY: Final = 16


class Part(NamedTuple):
    """This replica, as a re-sharing needs it."""

    me: ReplicaId
    cluster: bytes
    shares: Shares
    coin: Coin | None  # of the era in force; None: it holds no share of its keys
    out: Outbox


def ceremony_of(part: Part, old: Era, target: tuple[ReplicaId, ...], began: Position) -> Ceremony:
    numbers = old.number.to_bytes(8, "big") + began.to_bytes(8, "big")
    name = b"outvote re-sharing" + sha256(part.cluster).digest() + numbers
    return part.shares.ceremony(name, Group(old.members, old.public), target)


def transcript_digest(began: Position, agreed: Agreed) -> Digest:
    return sha256(b"outvote re-shared" + canonical(reshared(began, agreed))).digest()


def possession_name(transcript: Digest) -> bytes:
    """What a share signs to show that it is possessed; no coin has this name."""
    return b"outvote possession of a new share" + transcript


class Handover:
    """One re-sharing under way. `handed`: what this replica knows that it came to."""

    def __init__(self, part: Part, old: Era, change: Change, passed: Sequence[Passed]) -> None:
        self.change = change
        self.handed: Handed | None = None
        self.agreed: Agreed | None = None
        self.outcome: Outcome | None = None
        self.old = Members(old)
        self.new = Members(Era(old.number + 1, 0, change.target))
        self.spoken: list[Passed] = []
        self.possessed: dict[ReplicaId, Possessed] = {}  # the first one a sender
        self._right: dict[Digest, dict[ReplicaId, None]] = {}
        self._own: Possessed | None = None
        self._asked: dict[ReplicaId, tuple[int, int]] = {}  # with how many words said, and how often since
        self._part = part
        self._ceremony = ceremony_of(part, old, change.target, change.began)
        place = Place(self.old.place(part.me) if part.coin is not None else None, self.new.place(part.me))
        name = b"outvote re-sharing" + part.cluster + change.began.to_bytes(8, "big")
        self._sharing = KeyResharing(
            place, (self.old.committee, self.new.committee), self._ceremony, part.coin, name, self._ceremony.sizes
        )
        for one in passed:
            if one.message.began == change.began and one not in self.spoken:
                self.spoken.append(one)
                self._sharing.bind(one.message.stage, one.message.proposer, one.message.body)

    @property
    def words_max(self) -> int:
        return self._sharing.words_max()

    def concerns(self, replica: ReplicaId) -> bool:
        return self.old.place(replica) is not None or self.new.place(replica) is not None

    def begin(self) -> None:
        self._part.out.messages += [(one.receiver, one.message) for one in self.spoken]
        self._say(self._sharing.begin())
        self._proceed()

    def admits(self, sender: ReplicaId, message: Handing) -> bool:
        group = self._group(message.stage)
        return (
            message.began == self.change.began
            and message.stage in _STAGES
            and group.place(sender) is not None
            and group.committee.holds(message.proposer)
        )

    def admits_possessed(self, sender: ReplicaId, message: Possessed) -> bool:
        return (
            proper(message.handed, self.change)
            and len(message.possession) <= POSSESSION_BYTES_MAX
            and self.new.place(sender) is not None
            and sender not in self.possessed
        )

    def receive(self, sender: ReplicaId, message: Handing) -> None:
        group = self._group(message.stage)
        place = group.place(sender)
        assert place is not None
        self._say(self._sharing.receive(place, message.stage, message.proposer, message.body))
        out = self._part.out
        out.lies += [(group.replica(culprit), what) for culprit, what in self._sharing.faults]
        self._sharing.faults.clear()
        self._proceed()

    def on_possessed(self, sender: ReplicaId, message: Possessed) -> None:
        self.possessed[sender] = message
        place = self.new.place(sender)
        assert place is not None
        handed = message.handed
        name = possession_name(handed.transcript)
        if not self._ceremony.possesses(handed.public, place, name, message.possession):
            self._part.out.lies.append((sender, "a share that is not possessed"))
            return
        right = self._right.setdefault(digest_of(handed), {})
        right[sender] = None
        if len(right) >= self.new.committee.n - self.new.committee.faults:
            self.handed = handed

    def say_again(self, asker: ReplicaId) -> None:
        """All of it, some hundred words; while there is nothing new among them, at the 1st, 2nd, 4th, 8th and every
        16th question. New members that do not run hold a change up for days, and who waits for them asks on and on."""
        length, asked = self._asked.get(asker, (-1, 0))
        asked = asked + 1 if length == len(self.spoken) else 1
        self._asked[asker] = len(self.spoken), asked
        if asked & (asked - 1) and asked % AGAIN_EVERY:
            return
        out = self._part.out
        out.messages += [(asker, one.message) for one in self.spoken if one.receiver in (ALL, asker)]
        if self._own is not None:
            out.messages.append((asker, self._own))

    def take(self, agreed: Agreed) -> None:
        """This was agreed on, and is recorded."""
        self.agreed = agreed
        try:
            self.outcome = self._ceremony.outcome(agreed)
        except Lie:
            return  # more than f of a committee lie: there are no new keys, and nobody says that there are
        out = self._part.out
        out.lies += [(self.old.replica(one), "a dealing that is not right") for one in self.outcome.guilty]
        if self.outcome.has_share():
            transcript = transcript_digest(self.change.began, agreed)
            handed = Handed(self.change.began, transcript, self.outcome.public)
            self._own = Possessed(handed, self.outcome.possession(possession_name(transcript)))
            out.messages.append((ALL, self._own))

    def _proceed(self) -> None:
        agreed = self._sharing.agreed
        if agreed is not None and self.agreed is None:
            self._part.out.records.append(reshared(self.change.began, agreed))
            self.take(agreed)

    def _group(self, stage: int) -> Members:
        return self.new if stage == JUDGING else self.old

    def _say(self, said: Sequence[Said]) -> None:
        for one in said:
            receivers = self.old if one.stage == DEALING else self.new
            receiver = one.receiver if one.receiver == ALL else receivers.replica(one.receiver)
            message = Handing(self.change.began, one.stage, one.proposer, one.body)  # type: ignore[arg-type]
            passed = Passed(receiver, message)
            if passed not in self.spoken:
                self.spoken.append(passed)
                self._part.out.records.append(passed)
                self._part.out.messages.append((receiver, message))


class Holding:
    """What a member of an era behind the first one has of its keys, from when that era is agreed on."""

    def __init__(self, part: Part, old: Era, era: Era) -> None:
        self.era = era
        self.members = Members(era)
        self.agreed: Agreed | None = None
        self.outcome: Outcome | None = None
        self.asked_by: dict[ReplicaId, Needing] = {}  # since it was answered last
        self._heard_help: dict[ReplicaId, None] = {}  # since we asked: looking at one costs milliseconds
        self._part = part
        self._ceremony = ceremony_of(part, old, era.members, era.began)

    def has_share(self) -> bool:
        return self.outcome is not None and self.outcome.has_share()

    def take(self, agreed: Agreed, outcome: Outcome | None = None) -> bool:
        """Whether this is the transcript. `outcome`: what it comes to, if that is known."""
        if self.agreed is None and transcript_digest(self.era.began, agreed) == self.era.transcript:
            self.agreed = agreed
            self.outcome = self._ceremony.outcome(agreed) if outcome is None else outcome
            return True
        return False

    def ask(self) -> None:
        if not self.has_share():
            self._heard_help.clear()
            self._part.out.hints.append((ALL, Needing(self.era.number, self.agreed is None)))

    def admits(self, sender: ReplicaId, message: Needing | Transcribed | Helping) -> bool:
        if message.era != self.era.number or self.members.place(sender) is None or sender == self._part.me:
            return False
        if isinstance(message, Needing):
            return self.outcome is not None
        if isinstance(message, Transcribed):
            return self.agreed is None
        short = len(message.box) <= self._ceremony.help_bytes_max
        return self.outcome is not None and not self.has_share() and short and sender not in self._heard_help

    def on_transcribed(self, message: Transcribed) -> bool:
        agreed = Agreed(dict(message.dealings), dict(message.verdicts))
        if not self.take(agreed):
            return False
        self._part.out.records.append(reshared(self.era.began, agreed))
        return True

    def on_helping(self, sender: ReplicaId, message: Helping) -> None:
        place = self.members.place(sender)
        assert place is not None
        assert self.outcome is not None
        self._heard_help[sender] = None
        try:
            self.outcome.take_help(place, message.box)
        except Lie as lie:
            self._part.out.lies.append((sender, str(lie)))

    def answer(self, asker: ReplicaId) -> None:
        """With its question where it is, which comes at most every half interval: so asking is no amplifier."""
        needing, place = self.asked_by.pop(asker, None), self.members.place(asker)
        if needing is None or place is None or self.agreed is None or self.outcome is None:
            return
        out, number = self._part.out, self.era.number
        if needing.transcript:
            told = reshared(self.era.began, self.agreed)
            out.hints.append((asker, Transcribed(number, told.dealings, told.verdicts)))
        box = self.outcome.help_for(place)
        if box is not None:
            out.hints.append((asker, Helping(number, box)))
