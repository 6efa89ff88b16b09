"""What replicas say to each other. The bodies and their names are the paper's: see outvote/broadcast.

| Message | Lane | Sealed | Why |
|---|---|---|---|
| Broadcasting (VAL, ECHO, READY) | promise | no | others count it; the channel says who sent it, nobody quotes it |
| Agreeing (BVAL, AUX, CONF, coin share, TERM) | promise | no | the same |
| Decrypting (share) | promise | no | the same; a share proves itself |
| Checkpoint | promise | yes | a quorum of them is shown to laggards |
| Lacking | hint | no | a question |
| Decided | hint | no | each receiver waits for f + 1 equal ones |
| StableProof | hint | no | proves itself |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, TypeAlias

from outvote.broadcast.binary_agreement import Aux, BVal, CoinShare, Conf, Term
from outvote.broadcast.reliable import Echo, Ready, Val
from outvote.broadcast.threshold_encryption import DecryptionShare
from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.contract import Claim, Hint, Message, Request, Struct
from outvote.types import Nanos, Position, ReplicaId


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


class Batch(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """The output of one epoch."""

    time: Nanos
    requests: tuple[Request, ...]


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


class StableProof(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=22):
    """Replica to a laggard: I forgot what came before this checkpoint; fetch its state."""

    certificate: CheckpointCertificate

    def claims(self) -> Sequence[Claim]:
        return self.certificate.claims()


MESSAGES: Final = (Broadcasting, Agreeing, Decrypting, Checkpoint, Lacking, Decided, StableProof)
