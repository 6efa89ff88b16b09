"""What replicas say to each other. The bodies and their names are the paper's: see outvote/broadcast.

| Message | Lane | Sealed | Why |
|---|---|---|---|
| Broadcasting (VAL, ECHO, READY) | promise | no | others count it; the channel says who sent it, nobody quotes it |
| Agreeing (BVAL, AUX, CONF, coin share, TERM) | promise | no | the same |
| Decrypting (share) | promise | no | the same; a share proves itself |
| Checkpoint | promise | yes | a quorum of them is shown to laggards |
| Handing (the same, and DEALT, VAL to TERM of a re-sharing) | promise | no | the same |
| Possessed | promise | no | counted like a vote; its proof proves itself |
| Lacking | hint | no | a question |
| Needing | hint | no | a question |
| Transcribed | hint | no | the roster has its digest |
| Helping | hint | no | its receiver checks what is in the box |
| Decided | hint | no | each receiver waits for f + 1 equal ones |
| StableProof | hint | no | proves itself |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, TypeAlias

from outvote.broadcast.binary_agreement import Aux, BVal, CoinShare, Conf, Term
from outvote.broadcast.key_resharing import Dealt
from outvote.broadcast.reliable import Echo, Ready, Val
from outvote.broadcast.threshold_encryption import DecryptionShare
from outvote.core.certificates import claims_of
from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.contract import Claim, Hint, Message, Request, Struct, canonical, digest_of
from outvote.protocols.honeybadger.membership import Handed, Roster, Word
from outvote.types import Digest, Nanos, Position, ReplicaId


class Broadcasting(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """Within the reliable broadcast of one proposer in one epoch."""

    sealed: ClassVar[bool] = False

    epoch: Position
    proposer: ReplicaId
    body: Val | Echo | Ready


class Agreeing(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """Within the binary agreement on one proposer in one epoch."""

    sealed: ClassVar[bool] = False

    epoch: Position
    proposer: ReplicaId
    body: BVal | Aux | Conf | CoinShare | Term


class Decrypting(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """Towards the opening of one proposer's batch in one epoch."""

    sealed: ClassVar[bool] = False

    epoch: Position
    proposer: ReplicaId
    body: DecryptionShare


Working: TypeAlias = Broadcasting | Agreeing | Decrypting


class Contribution(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What one replica proposes, before it is encrypted."""

    time: Nanos  # the proposer's time of day
    requests: tuple[Request, ...]
    word: Word | None = None  # about members


class _Wordless(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """The same where there is nothing to say about members, as versions know it that know of no members."""

    time: Nanos
    requests: tuple[Request, ...]


def encoded(contribution: Contribution) -> bytes:
    if contribution.word is not None:
        return canonical(contribution)
    return canonical(_Wordless(contribution.time, contribution.requests))


class Batch(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """The output of one epoch."""

    time: Nanos
    requests: tuple[Request, ...]
    words: tuple[tuple[ReplicaId, Word], ...] = ()  # about members, by whom


class Lacking(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=20):
    """Replica to all: I have delivered so far, and my last stable checkpoint is there. Say again what I may lack."""

    delivered: Position
    stable: Position


class Decided(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=21):
    """Replica to a laggard: this was the output of that epoch."""

    epoch: Position
    batch: Batch

    def claims(self) -> Sequence[Claim]:
        return [request.claim() for request in self.batch.requests]


class RosterCheckpoint(Checkpoint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=6):
    """CHECKPOINT where not all are members, or somebody has wished so: the roster is certified with the state."""

    roster: Digest


class Certificate(CheckpointCertificate, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A quorum's CHECKPOINT seals. Without a roster all replicas are members, and nobody has wished otherwise."""

    roster: Roster | None = None

    def claims(self) -> list[Claim]:
        if self.roster is None:
            return super().claims()
        return claims_of(RosterCheckpoint(self.position, self.digest, digest_of(self.roster)), self.seals)

    @property
    def links(self) -> bool:
        """Whether the next era begins behind it."""
        return self.roster is not None and self.roster.last == self.position


class StableProof(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=22):
    """Replica to a laggard: I forgot what came before this checkpoint; fetch its state."""

    certificate: Certificate
    links: tuple[Certificate, ...] = ()  # by which the era of it follows from the receiver's

    def claims(self) -> Sequence[Claim]:
        return [claim for one in (*self.links, self.certificate) for claim in one.claims()]


class Handing(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=7):
    """Within the re-sharing that began at a position. `proposer`: a place among the old members, in the stage JUDGING
    among the new ones."""

    sealed: ClassVar[bool] = False

    began: Position
    stage: int
    proposer: ReplicaId
    body: Val | Echo | Ready | BVal | Aux | Conf | CoinShare | Term | Dealt


class Possessed(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=8):
    """New member to all: the re-sharing came to this, and I hold my share."""

    sealed: ClassVar[bool] = False

    handed: Handed
    possession: bytes  # a signature of the transcript's digest with the share


class Needing(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=25):
    """Member to all: I lack the transcript of the re-sharing that my era began with, or else my share."""

    era: int
    transcript: bool


class Transcribed(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=26):
    """The answer to NEEDING."""

    era: int
    dealings: tuple[tuple[ReplicaId, bytes], ...]  # by place, ascending
    verdicts: tuple[tuple[ReplicaId, bytes], ...]


class Helping(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=27):
    """The answer to NEEDING; a value of your row, in a box for you."""

    era: int
    box: bytes


MESSAGES: Final = (
    Broadcasting, Agreeing, Decrypting, Checkpoint, RosterCheckpoint, Handing, Possessed, Lacking, Decided,
    StableProof, Needing, Transcribed, Helping,
)  # fmt: skip
