"""Calls its tentative answers final."""

from __future__ import annotations

import msgspec

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ClientId
from outvote.wire.client_messages import Reply, ToClient


class Hasty(Behaviour):
    """Others of the f + 1 that a final answer needs may have been prepared for something else."""

    def tell(self, client: ClientId, message: ToClient) -> ToClient | None:
        if isinstance(message, Reply) and message.tentative:
            return msgspec.structs.replace(message, tentative=False)
        return message
