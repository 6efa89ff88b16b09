"""Hands over states in which a byte is wrong, and nodes that promise other children, too many of them or none."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.machines.merkle_map import leaf_of, record_of
from outvote.machines.state_transfer import CHANGED, WHOLE, Found, Nodes
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class TransferLiar(Behaviour):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if isinstance(message, Nodes):
            return [msgspec.structs.replace(message, found=tuple([self._spoilt(one) for one in message.found]))]
        return [message]

    def _spoilt(self, found: Found) -> Found:
        if found.records:
            place = self.rng.randrange(len(found.records))
            key, value = leaf_of(found.records[place])
            at = self.rng.randrange(len(value) + 1)
            changed = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] if at < len(value) else value + b"\0"
            spoilt = () if self.rng.random() < 0.2 else (record_of(key, changed),)
            records = (*found.records[:place], *spoilt, *found.records[place + 1 :])
            return msgspec.structs.replace(found, records=records)
        if self.rng.random() < 0.5:
            return found  # so that what is below it is asked for
        kind = self.rng.randrange(4)
        if kind == 0 and found.digests:
            place = self.rng.randrange(len(found.digests))
            digests = bytearray(found.digests)
            digests[place] ^= 1
            return msgspec.structs.replace(found, digests=bytes(digests))
        if kind == 1:
            return msgspec.structs.replace(found, kind=WHOLE)
        if kind == 2:
            return msgspec.structs.replace(found, kind=CHANGED, changed=found.changed ^ 1 << self.rng.randrange(16))
        more = bytes([self.rng.randrange(16)] * 33)
        return msgspec.structs.replace(found, bitmap=0xFFFF, digests=found.digests + more)
