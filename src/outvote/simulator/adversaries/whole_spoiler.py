"""Sends others' digests, and results of its own invention where it is to send large ones whole."""

from __future__ import annotations

import msgspec

from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.reply_forger import FORGED
from outvote.types import ClientId
from outvote.wire.client_messages import ReadReply, Reply, ToClient, sent_whole


class WholeSpoiler(Behaviour):
    """A client that does not compare them with the digests believes one liar."""

    def tell(self, client: ClientId, message: ToClient) -> ToClient | None:
        if isinstance(message, ReadReply) and not sent_whole(message.results):
            return msgspec.structs.replace(message, results=spoilt(message.results))
        if isinstance(message, Reply) and not message.seal and not sent_whole(message.answer.results):
            answer = msgspec.structs.replace(message.answer, results=spoilt(message.answer.results))
            return msgspec.structs.replace(message, answer=answer)
        return message


def spoilt(results: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """As large as the true ones, so that nobody wonders at their size."""
    return tuple(FORGED[:-1] + b"!" if len(one) < 100 else one[:-1] + b"!" for one in results)
