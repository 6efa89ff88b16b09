"""Hands over nodes under another path than they have, cut short, or with more than was there."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.machines.merkle_map import record_of
from outvote.machines.state_transfer import Found, Nodes
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class PartShifter(Behaviour):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if not isinstance(message, Nodes):
            return [message]
        kind = self.rng.randrange(4)
        if kind == 0:
            return [msgspec.structs.replace(message, number=message.number + 1)]
        return [msgspec.structs.replace(message, found=tuple([self._shifted(one, kind) for one in message.found]))]

    def _shifted(self, found: Found, kind: int) -> Found:
        if kind == 1:
            return msgspec.structs.replace(found, path=found.path + "0")
        if kind == 2:
            return msgspec.structs.replace(
                found, records=found.records[:-1], digests=found.digests[:-1], gone=found.gone[:-1]
            )
        return msgspec.structs.replace(found, records=(*found.records, record_of(b"more", bytes(1000))))
