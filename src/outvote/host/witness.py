"""Remembers who sealed what where, so that two statements that exclude each other become evidence.

Looks at every statement whose seal was checked, those quoted in certificates included. Protocol-agnostic: a
statement tells by `exclusive()` under which key an honest party seals one only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from outvote.core.contract import Struct
from outvote.host.ports import Observer
from outvote.types import FIRST_CLIENT, PartyId, Seal, Size

# A window of 256 positions times 3 kinds, for two views: older statements are forgotten first. 250 bytes each.
STATEMENTS_MAX_EACH: Final = 1536


class Witness:
    """Holds at most STATEMENTS_MAX_EACH statements a replica."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._seen: dict[PartyId, dict[tuple[int, ...], tuple[Struct, Seal]]] = {}
        self.convicted: set[PartyId] = set()

    def see(self, signer: PartyId, statement: Struct, seal: Seal) -> None:
        """A statement whose seal was found genuine."""
        key = statement.exclusive()
        if key is None or signer >= FIRST_CLIENT:
            return
        seen = self._seen.setdefault(signer, {})
        held = seen.get(key)
        if held is None:
            seen[key] = (statement, seal)
            if len(seen) > STATEMENTS_MAX_EACH:
                del seen[next(iter(seen))]
        elif held[0] != statement:
            self._observer.count("evidence")
            if signer not in self.convicted:
                # One piece convicts; a liar must not be able to fill a disk with more of them.
                self.convicted.add(signer)
                self._observer.evidence(signer, held, (statement, seal))

    def sizes(self) -> Iterator[Size]:
        """What is held, and its limit."""
        for seen in self._seen.values():
            yield "statements of a replica", len(seen), STATEMENTS_MAX_EACH
