"""Answers reads from an old state: with the first position and results that it gave the same client."""

from __future__ import annotations

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ClientId
from outvote.wire.client_messages import ReadReply, ToClient


class StaleReader(Behaviour):
    def __init__(self, powers: Powers) -> None:
        super().__init__(powers)
        self._first: dict[tuple[ClientId, int], ReadReply] = {}

    def tell(self, client: ClientId, message: ToClient) -> ToClient | None:
        if not isinstance(message, ReadReply):
            return message
        first = self._first.setdefault((client, len(message.results)), message)
        if first is message:
            return message
        return ReadReply(message.number, first.position, first.results, first.digest)
