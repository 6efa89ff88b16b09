"""What a replica's owner publishes who made its keys alone: for whoever puts the cluster together."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import tomli_w

from outvote.configuration.genesis import ReplicaEntry, check_entry, check_registration, from_toml


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A replica as it will stand in cluster.toml, and what it registers for threshold keys, or nothing."""

    entry: ReplicaEntry
    registration: str = ""

    def fingerprint(self) -> str:
        """To be compared over another channel; 16 bytes, so that nobody finds another offer with the same."""
        return sha256(msgspec.msgpack.encode(self)).digest()[:16].hex(":")


def offer_to_toml(offer: Offer) -> str:
    """The text that `offer_from_toml` reads back as an equal value."""
    about = f"# Replica {offer.entry.id}: public, for whoever makes the cluster. Fingerprint {offer.fingerprint()}\n"
    return about + tomli_w.dumps(msgspec.to_builtins(offer))


def offer_from_toml(text: str, source: str) -> Offer:
    """Raises Mistake, with a sentence that begins with `source`."""
    return from_toml(text, source, Offer, _check, "is no replica's offer")


def _check(offer: Offer) -> None:
    check_entry(offer.entry)
    if offer.registration:
        check_registration(offer.entry.id, offer.registration)
