"""One position of the order: what was proposed, who voted, what is proven. Predicates only; no decisions.

The paper's prepared(m, v, n, i) and committed-local(m, v, n, i) are `prepares_suffice` and `commits_suffice`.
"""

from __future__ import annotations

from typing import Final

from outvote.core.tally import Tally
from outvote.protocols.pbft.messages import Batch, Decision, PreparedCertificate
from outvote.types import Digest, Position, Seal, View

# Digests of one position in Q. A view that ends without a decision there adds one at most, so the oldest is dropped
# only after eight views in a row ended so, each with another proposal; and each entry holds a batch of up to 1 MiB.
PRE_PREPARED_MAX: Final = 8


class Slot:
    """Votes belong to the current view and are dropped with it; certificates and the batches they stand for stay."""

    __slots__ = (
        "batches", "commits", "committed", "digest", "heard", "position", "pre_prepared", "prepared", "prepared_now",
        "prepares", "seal", "told",
    )

    def __init__(self, position: Position) -> None:
        self.position = position
        self.digest: Digest = b""  # accepted in the current view; empty if none is
        self.heard = False  # the primary said so itself; False in a primary whose own copy has yet to come back
        self.seal: Seal = b""  # the primary's, over the accepted proposal
        self.prepares: Tally[Digest] = Tally()
        self.commits: Tally[Digest] = Tally()
        self.prepared_now = False  # prepared in the current view
        self.prepared: PreparedCertificate | None = None  # of the highest view: the paper's P
        self.committed: Decision | None = None
        self.told: Tally[Digest] = Tally()  # who said DECIDED
        # The paper's Q: each digest accepted here and the last view it was; kept by the form without signatures only.
        self.pre_prepared: dict[Digest, View] = {}
        self.batches: dict[Digest, Batch] = {}  # at most three: accepted, prepared, committed; and those of Q

    def begin_view(self) -> None:
        """Forget the votes of the view that ended, and batches that nothing stands for."""
        self.digest = b""
        self.heard = False
        self.seal = b""
        self.prepares = Tally()
        self.commits = Tally()
        self.prepared_now = False
        self.prune()

    def prune(self) -> None:
        """Keep the batches of what is accepted, prepared or committed."""
        keep = [self.digest, *self.pre_prepared]
        if self.prepared is not None:
            keep.append(self.prepared.digest)
        if self.committed is not None:
            keep.append(self.committed.digest)
        self.batches = {digest: batch for digest, batch in self.batches.items() if digest in keep}

    def prepares_suffice(self, quorum: int) -> bool:
        """The primary's proposal and quorum - 1 equal PREPAREs of others: with the primary they are a quorum."""
        return bool(self.digest) and self.heard and self.prepares.count(self.digest) >= quorum - 1

    def commits_suffice(self, quorum: int) -> Digest | None:
        """The digest that a quorum committed in this view, if its batch is at hand."""
        digest = self.commits.leading(quorum)
        return digest if digest is not None and digest in self.batches else None

    def done_in(self, view: View) -> bool:
        """Decided here, and our own COMMIT in this view is out: nothing more is to be said or heard."""
        return self.prepared_now and self.committed is not None and self.committed.view == view

    def note_pre_prepared(self, view: View, digest: Digest) -> None:
        """Add to Q; the entry of the lowest view makes room."""
        self.pre_prepared[digest] = max(view, self.pre_prepared.get(digest, 0))
        if len(self.pre_prepared) > PRE_PREPARED_MAX:
            del self.pre_prepared[min(self.pre_prepared, key=lambda one: (self.pre_prepared[one], one))]

    def note_prepared(self, certificate: PreparedCertificate) -> None:
        """Evidence is ranked by view: a later view's certificate replaces an earlier one's, never the reverse."""
        if self.prepared is None or certificate.view >= self.prepared.view:
            self.prepared = certificate

    def decided_batch(self) -> Batch | None:
        """The batch to execute here, once its digest is decided."""
        return self.batches.get(self.committed.digest) if self.committed is not None else None

