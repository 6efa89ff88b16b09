"""Answers some clients truly and others with results that were never computed."""

from __future__ import annotations

from outvote.simulator.adversaries.reply_forger import ReplyForger
from outvote.types import ClientId
from outvote.wire.client_messages import ReplyStatement


class TwoFaced(ReplyForger):
    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        return super().answer(client, statement) if client % 2 or self.rng.random() < 0.3 else statement
