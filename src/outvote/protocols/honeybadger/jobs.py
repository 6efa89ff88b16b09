"""Threshold cryptography outside of the turn: what the components ask of a coin or an encryption becomes a job, and the
answer is there when they are resumed.

A pairing takes a millisecond or more, and an epoch of n replicas takes some n f of them a replica and round of
agreement. Answers are functions of what is asked, so it makes no difference to what is decided when they come: it is as
if the messages that they are about had come later.

Kept by epoch, and forgotten with it: at most n + 1 answers a round of an agreement, and n + 1 a ciphertext; and one
ciphertext of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from outvote.broadcast.coin import Coin
from outvote.broadcast.threshold_encryption import Cryptosystem
from outvote.core.contract import NOBODY, Job, Outbox
from outvote.errors import Lie
from outvote.types import Position, ReplicaId

COIN_SHARE: Final = "coin share"
COIN_VERIFY: Final = "coin verify"
COIN_COMBINE: Final = "coin combine"
ENCRYPT: Final = "encrypt"
OPEN_SHARE: Final = "open share"  # of a ciphertext whose proof holds; else nothing
OPEN_VERIFY: Final = "open verify"
OPEN_COMBINE: Final = "open combine"
LATER: Final = "later era: "  # before the work; then the first part is what whoever does it makes the era's keys of
_YES: Final = b"\1"
_NO: Final = b""



class Question(NamedTuple):
    """What is asked once: of a coin by its name, of a ciphertext by its label; `who`: whose share it is about."""

    work: str
    name: bytes
    who: ReplicaId


class Desk:
    """Hands out tickets, and knows which epoch waits for each."""

    def __init__(self, out: Outbox) -> None:
        self._out = out
        self._last = 0
        self._under_way: dict[int, tuple[Position, Question]] = {}
        self.carried = b""  # with each job: the keys of the era; b"" for the first one's, which everybody has

    def __len__(self) -> int:
        return len(self._under_way)

    def ask(self, epoch: Position, question: Question, parts: tuple[bytes, ...]) -> None:
        self._last += 1
        self._under_way[self._last] = epoch, question
        work, parts = question.work, (question.name, *parts)
        if self.carried:
            work, parts = LATER + work, (self.carried, *parts)
        self._out.jobs.append(Job(self._last, work, parts, question.who))

    def take(self, ticket: int) -> tuple[Position, Question] | None:
        """What this ticket was for; None for one that nobody has, or that was taken."""
        return self._under_way.pop(ticket, None)


class Answers:
    """Of one epoch."""

    def __init__(self, desk: Desk, epoch: Position) -> None:
        self._desk = desk
        self._epoch = epoch
        self._known: dict[Question, bytes | None] = {}  # None: asked, and not known yet

    def look_up(self, work: str, name: bytes, parts: tuple[bytes, ...] = (), who: ReplicaId = NOBODY) -> bytes | None:
        """The answer, or None: then it is being worked out."""
        question = Question(work, name, who)
        if question not in self._known:
            self._known[question] = None
            self._desk.ask(self._epoch, question, parts)
        return self._known[question]

    def learn(self, question: Question, answer: bytes) -> None:
        self._known[question] = answer


class DeferredCoin:
    """Asks for everything and waits for nothing. `me`: whose own shares need no verification."""

    def __init__(self, answers: Answers, me: ReplicaId) -> None:
        self._answers = answers
        self._me = me

    def share(self, name: bytes) -> bytes | None:
        return self._answers.look_up(COIN_SHARE, name)

    def verifies(self, name: bytes, sender: ReplicaId, share: bytes) -> bool | None:
        if sender == self._me and share == self.share(name):
            return True
        return _yes(self._answers.look_up(COIN_VERIFY, name, (share,), sender))

    def combine(self, name: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes | None:
        return self._answers.look_up(COIN_COMBINE, name, _packed(shares))


class DeferredEncryption:
    """The same."""

    def __init__(self, answers: Answers, me: ReplicaId) -> None:
        self._answers = answers
        self._me = me

    def encrypt(self, label: bytes, plaintext: bytes, entropy: bytes) -> bytes | None:
        return self._answers.look_up(ENCRYPT, label, (plaintext, entropy))

    def checks(self, label: bytes, ciphertext: bytes) -> bool | None:
        share = self._answers.look_up(OPEN_SHARE, label, (ciphertext,))
        return None if share is None else bool(share)

    def share(self, label: bytes, ciphertext: bytes) -> bytes | None:
        return self._answers.look_up(OPEN_SHARE, label, (ciphertext,))

    def verifies(self, label: bytes, ciphertext: bytes, sender: ReplicaId, share: bytes) -> bool | None:
        if sender == self._me and share == self.share(label, ciphertext):
            return True
        return _yes(self._answers.look_up(OPEN_VERIFY, label, (ciphertext, share), sender))

    def combine(self, label: bytes, ciphertext: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes | None:
        opened = self._answers.look_up(OPEN_COMBINE, label, (ciphertext, *_packed(shares)))
        if opened == _NO:
            raise Lie("a payload that does not open")
        return None if opened is None else opened[1:]


def compute(coin: Coin, system: Cryptosystem, job: Job) -> bytes:
    """Do one job, at once: a function of the keys and the job alone."""
    name, *parts = job.parts
    if job.work == COIN_SHARE:
        return _there(coin.share(name))
    if job.work == COIN_VERIFY:
        return _YES if coin.verifies(name, job.who, parts[0]) else _NO
    if job.work == COIN_COMBINE:
        return _there(coin.combine(name, _unpacked(parts)))
    if job.work == ENCRYPT:
        return _there(system.encrypt(name, *parts))
    if job.work == OPEN_SHARE:
        return _there(system.share(name, parts[0])) if system.checks(name, parts[0]) else _NO
    if job.work == OPEN_VERIFY:
        return _YES if system.verifies(name, parts[0], job.who, parts[1]) else _NO
    assert job.work == OPEN_COMBINE, job.work
    try:
        return _YES + _there(system.combine(name, parts[0], _unpacked(parts[1:])))
    except Lie:
        return _NO


def _there(answer: bytes | None) -> bytes:
    """Keys that are not deferred themselves answer at once."""
    assert answer is not None
    return answer


def _yes(answer: bytes | None) -> bool | None:
    return None if answer is None else answer == _YES


def _packed(shares: Mapping[ReplicaId, bytes]) -> tuple[bytes, ...]:
    return tuple(sender.to_bytes(4, "big") + share for sender, share in sorted(shares.items()))


def _unpacked(parts: list[bytes]) -> dict[ReplicaId, bytes]:
    return {int.from_bytes(part[:4], "big"): part[4:] for part in parts}
