"""Orders and votes, and answers no client."""

from __future__ import annotations

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ClientId
from outvote.wire.client_messages import ReplyStatement


class DeafToClients(Behaviour):
    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        return None
