"""What PBFT replicas say to each other. Names are the paper's (Castro and Liskov, OSDI 1999, sections 4.2 to 4.4).

Tags are part of the wire format: 1 to 9 are promises, 11 is a statement that only travels inside a seal, 21 and up
are hints. The table with senders and receivers is in this folder's README.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from outvote.core.certificates import Seals, claims_of
from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.contract import Claim, Hint, Message, Request, Struct, digest_of
from outvote.types import ClientId, Digest, Nanos, Position, ReplicaId, Seal, View


class Batch(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What one position orders: requests, and the wall-clock time that the primary proposes for them."""

    time: Nanos
    requests: tuple[Request, ...]


NULL_BATCH: Final = Batch(0, ())  # fills a position that a new view found nothing prepared for
NULL_DIGEST: Final = digest_of(NULL_BATCH)


class ProposalStatement(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=11):
    """What the primary's seal on a PRE-PREPARE covers: the batch is bound by its digest."""

    view: View
    position: Position
    digest: Digest

    def exclusive(self) -> tuple[int, ...]:
        return 1, self.view, self.position


class PrePrepare(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """Primary to all: position `position` of view `view` shall hold this batch. A promise: never another."""

    # The primary has checked the clients' signatures; a backup that finds its own MAC good need not.
    own_mac_suffices: ClassVar[bool] = True

    view: View
    position: Position
    digest: Digest
    batch: Batch

    def statement(self) -> ProposalStatement:
        return ProposalStatement(self.view, self.position, self.digest)

    def claims(self) -> Sequence[Claim]:
        return [request.claim() for request in self.batch.requests]


class RequestDigest(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A request that its client has sent to all replicas."""

    client: ClientId
    number: int
    digest: Digest


class BriefPrePrepare(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=10):
    """Primary to all: a PRE-PREPARE without its large requests; you have them from their clients, or ask with STATUS.

    `requests` has None where a request is left out; these stand in `left_out`, in order.
    """

    view: View
    position: Position
    digest: Digest
    time: Nanos
    requests: tuple[Request | None, ...]
    left_out: tuple[RequestDigest, ...]

    def statement(self) -> ProposalStatement:
        return ProposalStatement(self.view, self.position, self.digest)

    def claims(self) -> Sequence[Claim]:
        return [request.claim() for request in self.requests if request is not None]


class Prepare(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """Backup to all: I accepted this digest here and will accept no other in this view."""

    view: View
    position: Position
    digest: Digest

    def exclusive(self) -> tuple[int, ...]:
        return 2, self.view, self.position


class Commit(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """Replica to all: I hold a prepared certificate for this and will show it in any view change.

    Nobody ever shows a COMMIT to a third party, so it carries no seal. It may travel with the next batch's messages, if
    this batch was executed tentatively (Castro and Liskov 2002, section 5.1.2).
    """

    sealed: ClassVar[bool] = False
    patient: ClassVar[bool] = True

    view: View
    position: Position
    digest: Digest

    def exclusive(self) -> tuple[int, ...]:
        return 3, self.view, self.position


class PreparedCertificate(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """The primary's PRE-PREPARE seal and quorum - 1 PREPARE seals of others, all for one (view, position, digest)."""

    view: View
    position: Position
    digest: Digest
    proposer: ReplicaId
    proposal_seal: Seal
    prepares: Seals

    def claims(self) -> list[Claim]:
        statement = ProposalStatement(self.view, self.position, self.digest)
        prepare = Prepare(self.view, self.position, self.digest)
        return [Claim(self.proposer, statement, self.proposal_seal), *claims_of(prepare, self.prepares)]


class Decision(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Why a digest is decided at a position, for ever and whatever the view: a quorum's COMMITs of one view, or
    (`told`) f + 1 replicas that say DECIDED, one of them correct. Known here only; others are shown DECIDED."""

    view: View
    position: Position
    digest: Digest
    voters: tuple[ReplicaId, ...]
    told: bool


class ViewChange(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=5):
    """Replica to all: I left every view below `view`; here is my stable checkpoint and all I prepared above it."""

    view: View
    stable: CheckpointCertificate
    prepared: tuple[PreparedCertificate, ...]  # by ascending position

    def exclusive(self) -> tuple[int, ...]:
        return 5, self.view

    def claims(self) -> Sequence[Claim]:
        claims = self.stable.claims()
        for certificate in self.prepared:
            claims += certificate.claims()
        return claims


class SealedViewChange(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A VIEW-CHANGE with its sender's seal, as NEW-VIEW quotes it."""

    sender: ReplicaId
    message: ViewChange
    seal: Seal


class NewView(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=6):
    """New primary to all: a quorum left for `view`, and this follows for the positions they had prepared.

    `proposals` is the paper's O. Its PRE-PREPAREs follow as messages of their own, one a position.
    """

    view: View
    view_changes: tuple[SealedViewChange, ...]  # by ascending sender
    proposals: tuple[tuple[Position, Digest], ...]  # by ascending position, without gaps

    def exclusive(self) -> tuple[int, ...]:
        return 6, self.view

    def claims(self) -> Sequence[Claim]:
        claims: list[Claim] = []
        for quoted in self.view_changes:
            claims.append(Claim(quoted.sender, quoted.message, quoted.seal))
            claims += quoted.message.claims()
        return claims


class Forward(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=21):
    """Backup to primary: a client gave me this; I watch the clock until it is executed."""

    request: Request

    def claims(self) -> Sequence[Claim]:
        return [self.request.claim()]


class Status(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=22):
    """Replica to all, now and then: this is how far I am; send me what I lack."""

    view: View
    active: bool
    stable: Position
    delivered: Position
    phases: bytes  # one byte a position from delivered + 1: see PHASE_*


PHASE_PROPOSED: Final = 1  # the sender holds the primary's proposal
PHASE_PREPARED: Final = 2
PHASE_COMMITTED: Final = 4
PHASES_MAX: Final = 64  # positions that one STATUS describes; the rest is asked for later


class DecidedStatement(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=12):
    """What a DECIDED says, without the batch."""

    position: Position
    digest: Digest


class Decided(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=23):
    """Replica to a laggard: this was decided. Believed when f + 1 replicas say the same."""

    position: Position
    batch: Batch

    def statement(self) -> DecidedStatement:
        return DecidedStatement(self.position, digest_of(self.batch))


class StableProof(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=24):
    """Replica to a laggard: I forgot what came before this checkpoint; fetch its state."""

    certificate: CheckpointCertificate

    def claims(self) -> Sequence[Claim]:
        return self.certificate.claims()


class NewViewProof(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=25):
    """Replica to one that missed it: the NEW-VIEW that I entered by, with its primary's seal."""

    sender: ReplicaId
    message: NewView
    seal: Seal

    def claims(self) -> Sequence[Claim]:
        return [Claim(self.sender, self.message, self.seal), *self.message.claims()]


class FetchBatch(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=26):
    """New primary to all: I must propose this digest and do not have its batch."""

    position: Position
    digest: Digest


class FetchedBatch(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=27):
    """The answer to FETCH-BATCH; proves itself by its digest."""

    position: Position
    batch: Batch


class QueryReached(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=28):
    """Replica to all: I have restarted; how far are you? Clients may read here when I am as far."""

    nonce: int


class ReachedReply(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=29):
    """The answer to QUERY-REACHED; the highest position that I prepared, decided or hold a state of."""

    nonce: int
    position: Position


class Complaint(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=35):
    """Backup to all: the primary of `view` keeps requests waiting; I leave it when f others say so too."""

    view: View


MESSAGES: Final = (
    PrePrepare, BriefPrePrepare, Prepare, Commit, Checkpoint, ViewChange, NewView,
    Forward, Status, Decided, StableProof, NewViewProof, FetchBatch, FetchedBatch, QueryReached, ReachedReply,
    Complaint,
)
