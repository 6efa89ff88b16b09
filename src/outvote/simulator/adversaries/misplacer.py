"""Answers with the right results at a wrong place in the order."""

from __future__ import annotations

import msgspec

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ClientId
from outvote.wire.client_messages import ReplyStatement


class Misplacer(Behaviour):
    """A receipt would prove an order that never was."""

    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        return msgspec.structs.replace(statement, position=statement.position + 1)
