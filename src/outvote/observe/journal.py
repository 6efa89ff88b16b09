"""What a running replica tells about itself: counters, lines for people, and evidence against liars on disk.

Everything a stranger can cause here is bounded: lines by a rate, parties by the genesis, evidence by one file a
replica.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from outvote.core.contract import Struct
from outvote.types import PartyId, Position, ReplicaId, Seal

LIES_SHOWN_MAX: Final = 5  # lines about one party's lies of one kind; after that they are only counted
COUNTERS_MAX: Final = 1000  # names: kinds are few and parties are bounded, so this is never reached


class Journal:
    """The Observer of a node. `say` gets one line at a time."""

    def __init__(self, say: Callable[[str], None], evidence: Path | None = None) -> None:
        self._say = say
        self._evidence = evidence
        self.counters: dict[str, int] = {}
        self._shown: dict[tuple[PartyId, str], int] = {}

    def count(self, what: str, amount: int = 1) -> None:
        if what in self.counters or len(self.counters) < COUNTERS_MAX:
            self.counters[what] = self.counters.get(what, 0) + amount

    def lie(self, party: PartyId, kind: str, text: str) -> None:
        self.count(f"lies_{kind.replace(' ', '_')}")
        shown = self._shown.get((party, kind), 0)
        if shown < LIES_SHOWN_MAX and len(self._shown) < COUNTERS_MAX:
            self._shown[party, kind] = shown + 1
            more = "" if shown + 1 < LIES_SHOWN_MAX else " (further ones are only counted)"
            self._say(f"dropped, from {name_of(party)}: {text}{more}")

    def evidence(self, party: ReplicaId, first: tuple[Struct, Seal], second: tuple[Struct, Seal]) -> None:
        """Two statements that one honest replica cannot both have sealed: anybody with cluster.toml can check."""
        self._say(f"EVIDENCE: replica {party} sealed two statements that exclude each other: {first[0]} / {second[0]}")
        if self._evidence is None:
            return
        entry = {
            "replica": party,
            "statements": [
                {
                    "kind": type(statement).__name__,
                    "fields": msgspec.to_builtins(statement),
                    "encoded": msgspec.msgpack.encode(statement).hex(),
                    "seal": seal.hex(),
                }
                for statement, seal in (first, second)
            ],
        }
        try:
            self._evidence.mkdir(parents=True, exist_ok=True)
            path = self._evidence / f"replica-{party}.json"
            path.write_text(json.dumps(entry, indent=1, default=repr) + "\n")
        except OSError as error:
            self._say(f"evidence against replica {party} could not be written: {error.strerror}")

    def note(self, text: str) -> None:
        self._say(text)

    def checkpoint(self, position: Position, digest: bytes) -> None:
        self.count("checkpoints")


def name_of(party: PartyId) -> str:
    """A party's name for people; -1 is somebody who has not proven any identity."""
    if party < 0:
        return "a stranger"
    return f"replica {party}" if party < 1 << 16 else f"client {party}"
