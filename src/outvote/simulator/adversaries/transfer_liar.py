"""Hands over states in which a byte is wrong, and nodes that promise other children, too many of them or none."""

from __future__ import annotations

import msgspec

from outvote.core.contract import Message
from outvote.machines.state_transfer import Found, Nodes
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ReplicaId


class TransferLiar(Behaviour):
    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if isinstance(message, Nodes):
            # Half of the time a node is good, so that what is below it is asked for.
            found = [one if self.rng.random() < 0.5 else self._spoilt(one) for one in message.found]
            return [msgspec.structs.replace(message, found=tuple(found))]
        return [message]

    def _spoilt(self, found: Found) -> Found:
        kind = self.rng.randrange(4)
        if kind == 0 and found.leaves:
            place = self.rng.randrange(len(found.leaves))
            key, value = found.leaves[place]
            changed = bytes([value[0] ^ 1]) + value[1:] if value else b"\0"
            leaves = (*found.leaves[:place], (key, changed), *found.leaves[place + 1 :])
            return msgspec.structs.replace(found, leaves=leaves)
        if kind == 1 and found.digests:
            place = self.rng.randrange(len(found.digests))
            digests = bytearray(found.digests)
            digests[place] ^= 1
            return msgspec.structs.replace(found, digests=bytes(digests))
        if kind == 2:
            return msgspec.structs.replace(found, bitmap=0, digests=b"")
        more = bytes([self.rng.randrange(16)] * 33)
        return msgspec.structs.replace(found, bitmap=0xFFFF, digests=found.digests + more)
