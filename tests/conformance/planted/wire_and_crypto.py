"""Rules of decoding, sealing and encoding that every protocol stands on, turned off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from outvote.core.contract import Claim, Message, Struct, sealed_bytes
from outvote.crypto import seals
from outvote.host import turn as host_turn
from outvote.host.turn import Turn
from outvote.machines import machine as machines
from outvote.machines import value_types
from outvote.protocols.pbft.messages import Prepare, ProposalStatement
from outvote.types import ReplicaId, Seal
from outvote.wire import frames

VIEWS_TRIED = 8


def seals_bind_no_cluster(patch: pytest.MonkeyPatch) -> None:
    """A seal given in another cluster or epoch opens here."""
    patch.setattr(seals, "sealed_bytes", lambda _domain, statement: sealed_bytes(b"", statement))


def seals_bind_no_kind(patch: pytest.MonkeyPatch) -> None:
    """A seal on one kind of statement opens for another with the same fields."""

    def untagged(domain: bytes, statement: Struct) -> bytes:
        return domain + msgspec.msgpack.encode(msgspec.structs.astuple(statement))

    patch.setattr(seals, "sealed_bytes", untagged)


def claims_open_for_any_view(patch: pytest.MonkeyPatch) -> None:
    """A quoted seal is good if its signer said the same in any view."""

    def genuine(turn: Turn, sender: ReplicaId, message: Message, seal: Seal, claims: Sequence[Claim]) -> bool:
        opens = turn._opener.opens
        if message.sealed and not opens(Claim(sender, message.statement(), seal)):
            return False
        return all(any(opens(claim) for claim in in_any_view(claim)) for claim in claims)

    patch.setattr(Turn, "_genuine", genuine)


def in_any_view(claim: Claim) -> list[Claim]:
    said = claim.statement
    if not isinstance(said, Prepare | ProposalStatement):
        return [claim]
    return [claim._replace(statement=msgspec.structs.replace(said, view=view)) for view in range(VIEWS_TRIED)]


def inbox_unbounded(patch: pytest.MonkeyPatch) -> None:
    """One peer may queue as much as it likes."""
    patch.setattr(host_turn, "INBOX_MESSAGES_MAX", 1 << 60)


def frame_length_unchecked(patch: pytest.MonkeyPatch) -> None:
    """Whatever length is announced is waited for."""
    original = frames.FrameSplitter.__init__
    patch.setattr(frames.FrameSplitter, "__init__", lambda splitter, _max=0: original(splitter, 1 << 40))


def nesting_unchecked(patch: pytest.MonkeyPatch) -> None:
    """Arguments are decoded however deep they are nested."""
    patch.setattr(machines, "nested_too_deep", lambda _data: False)


def sets_in_any_order(patch: pytest.MonkeyPatch) -> None:
    """A snapshot writes a set in the order in which it is iterated."""
    original = value_types.ordered

    def unordered(value: Any) -> Any:
        return [unordered(one) for one in value] if isinstance(value, set | frozenset) else original(value)

    patch.setattr(value_types, "ordered", unordered)


def floats_allowed(patch: pytest.MonkeyPatch) -> None:
    """A class may hold floats without asking for them."""
    original = value_types._walk

    def walk(shape: Any, facts: Any, floats: bool, where: str, path: tuple[Any, ...]) -> None:
        original(shape, facts, True, where, path)

    patch.setattr(value_types, "_walk", walk)
