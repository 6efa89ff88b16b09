"""The two sides of every connection of one party, as the genesis wants its channels."""

from __future__ import annotations

from outvote.configuration.files import PartyKeys
from outvote.configuration.genesis import Genesis
from outvote.crypto.key_exchange import Ceiling, Identity
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.transport import tls
from outvote.transport.channel import Side
from outvote.transport.keyed import KeyedSide
from outvote.transport.tls import PinnedCertificates, TlsSide
from outvote.types import PartyId, ReplicaId

_REMEMBERED_OFFERS = 16  # a NEW-KEY is verified once


class Sides:
    """`accepting` is for whoever dials us; `dialing` one for each replica."""

    __slots__ = ("_dialing_tls", "_genesis", "_identity", "_keys")

    def __init__(self, genesis: Genesis, keys: PartyKeys, ceiling: Ceiling | None = None) -> None:
        """`ceiling`: of the party's NEW-KEY counters. Raises Mistake if the TLS files do not work."""
        self._genesis = genesis
        self._keys = keys
        self._identity: Identity | None = None
        self._dialing_tls: TlsSide | None = None
        if genesis.has_session_keys:
            seal_domain = domain(genesis.identity(), genesis.epoch)
            self._identity = Identity(
                keys.party,
                seal_domain,
                Ed25519Sealer(seal_domain, keys.signing),
                Ed25519Opener(seal_domain, genesis.public_keys(), _REMEMBERED_OFFERS),
                tls.WIRE_FORMATS,
                ceiling,
            )
        if genesis.channel == "tls":
            certificates = genesis.certificates()
            pinned = PinnedCertificates({replica.id: certificates[replica.id] for replica in genesis.replicas})
            self._dialing_tls = TlsSide(pinned.dialing_context(keys), pinned, accepting=False)

    def accepting(self) -> Side:
        """Raises Mistake if the TLS files do not work."""
        below: TlsSide | None = None
        if self._genesis.channel == "tls":
            pinned = PinnedCertificates(self._genesis.certificates())
            below = TlsSide(pinned.accepting_context(self._keys), pinned, accepting=True)
        return self._side(below, None)

    def dialing(self, replica: ReplicaId) -> Side:
        return self._side(self._dialing_tls, replica)

    def _side(self, below: TlsSide | None, peer: PartyId | None) -> Side:
        if self._identity is not None:
            return KeyedSide(self._identity, peer, below)
        assert below is not None
        return below
