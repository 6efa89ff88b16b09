"""Sends the digest of large results, never the results."""

from __future__ import annotations

import msgspec

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.types import ClientId
from outvote.wire.client_messages import ReadReply, Reply, ToClient, digest_of_results, sent_whole


class WholeWithholder(Behaviour):
    """So whoever counts on it alone waits for ever."""

    def tell(self, client: ClientId, message: ToClient) -> ToClient | None:
        if isinstance(message, ReadReply) and not sent_whole(message.results):
            return ReadReply(message.number, message.position, (), digest_of_results(message.results))
        if isinstance(message, Reply) and not message.seal and not sent_whole(message.answer.results):
            bare = msgspec.structs.replace(message.answer, results=())
            return msgspec.structs.replace(message, answer=bare, digest=digest_of_results(message.answer.results))
        return message
