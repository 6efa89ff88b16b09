"""Answers clients with results that were never computed, under its own seal."""

from __future__ import annotations

import msgspec

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ClientId
from outvote.wire.client_messages import ReplyStatement

FORGED = b"\x92\x00\xa6forged"  # the outcome [0, "forged"]: done, and this is the value


class ReplyForger(Behaviour):
    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        return msgspec.structs.replace(statement, results=(FORGED,) * len(statement.results))
