"""A proof, checkable offline, that the cluster gave an answer.

A receipt holds what f + 1 replicas sealed. At least one of them is correct, so whoever has cluster.toml can
check it without asking anybody, and without trusting whoever hands it over.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

import msgspec

from outvote.configuration.genesis import Genesis
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Struct
from outvote.crypto.seals import Ed25519Opener, domain
from outvote.errors import Lie, Mistake
from outvote.types import SEAL_BYTES, Digest, ReplicaId, Seal
from outvote.wire.client_messages import RESULT_BYTES_MAX, ReplyStatement

# Base64 of all results is 4/3 * 256 KiB = 342 KiB, the punctuation of 256 of them 1 KiB, 100 seals 10 KiB.
RECEIPT_BYTES_MAX: Final = 2 * RESULT_BYTES_MAX


class Opener(Protocol):
    """Knows the replicas' public keys."""

    def opens(self, claim: Claim) -> bool: ...


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON form; bytes are base64."""

    outvote: Literal["receipt 1"]
    cluster: Digest
    epoch: int
    client: int
    number: int
    position: int
    results: tuple[bytes, ...]
    seals: tuple[tuple[ReplicaId, Seal], ...]


class Receipt(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """f + 1 replicas' word for one answer."""

    cluster: Digest
    epoch: int
    answer: ReplyStatement
    seals: tuple[tuple[ReplicaId, Seal], ...]

    def check(self, genesis: Genesis) -> None:
        """Raises Lie if the receipt is forged, Mistake if it is not of this cluster and epoch."""
        if (self.cluster, self.epoch) != (genesis.identity(), genesis.epoch):
            raise Mistake(
                f"the receipt is not from cluster {genesis.name}, epoch {genesis.epoch}: check it against "
                "the cluster.toml of the cluster that gave it"
            )
        opener = Ed25519Opener(domain(self.cluster, self.epoch), genesis.public_keys(), remembered_max=1)
        self.check_seals(genesis.committee(), opener)

    def check_seals(self, committee: Committee, opener: Opener) -> None:
        """Raises Lie unless f + 1 different replicas, and nobody else, sealed the answer.

        `opener` must be made for this receipt's cluster and epoch.
        """
        seen = 0
        for replica, seal in self.seals:
            if not committee.holds(replica) or seen >> replica & 1:
                raise Lie("the receipt names a replica twice, or one that the cluster does not have")
            seen |= 1 << replica
            if len(seal) != SEAL_BYTES or not opener.opens(Claim(replica, self.answer, seal)):
                raise Lie(f"the seal of replica {replica} on the receipt is not its own")
        if len(self.seals) < committee.weak:
            raise Lie(
                f"the receipt carries {len(self.seals)} seals; {committee.weak} of {committee.n} replicas "
                "are needed to prove an answer"
            )

    def to_json(self) -> bytes:
        """One JSON object."""
        answer = self.answer
        return msgspec.json.encode(
            _Written(
                "receipt 1",
                self.cluster,
                self.epoch,
                answer.client,
                answer.number,
                answer.position,
                answer.results,
                self.seals,
            )
        )

    @classmethod
    def from_json(cls, text: bytes | str) -> Receipt:
        """Raises Mistake if `text` is not a receipt; whether the receipt is true, `check` tells."""
        if len(text) > RECEIPT_BYTES_MAX:
            raise Mistake(f"a receipt has at most {RECEIPT_BYTES_MAX} bytes, not {len(text)}")
        try:
            written = msgspec.json.decode(text, type=_Written)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise Mistake("this is not a receipt: give the JSON text that `Receipt.to_json` wrote") from None
        answer = ReplyStatement(written.client, written.number, written.position, written.results)
        return cls(written.cluster, written.epoch, answer, written.seals)
