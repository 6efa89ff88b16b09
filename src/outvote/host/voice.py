"""How a replica speaks: seal, encode, hand to the network. The only place from which a replica's statements leave.

A traitor is an honest replica with another voice (simulator/adversaries): it can say anything, but only under its
own key, because a voice is given one sealer and no other.
"""

from __future__ import annotations

import msgspec

from outvote.core.contract import ALL, Hint, Message
from outvote.host.ports import Network, Sealer
from outvote.types import ClientId, ReplicaId, Seal, View
from outvote.wire.client_messages import (
    ReadReply,
    Reply,
    ReplyStatement,
    ToClient,
    Unread,
    digest_of_results,
    sent_whole,
)
from outvote.wire.codec import Codec


class Voice:
    """The honest voice: every receiver hears the same."""

    def __init__(self, me: ReplicaId, n: int, sealer: Sealer, codec: Codec, network: Network) -> None:
        self.me = me
        self.others = tuple(replica for replica in range(n) if replica != me)
        self.sealer = sealer
        self.codec = codec
        self.network = network

    def promise(self, receiver: ReplicaId, message: Message) -> Seal:
        """Say something that is durable here; returns the seal for our own copy. Sealed and encoded once."""
        seal = self.sealer.seal(message.statement()) if self.codec.seals(message) else b""
        self._send(receiver, self.codec.encode(message, seal))
        return seal

    def hint(self, receiver: ReplicaId, hint: Hint) -> None:
        """Say something that promises nothing. To ALL means to all others."""
        self._send(receiver, self.codec.encode(hint, b""))

    def answer(
        self, client: ClientId, statement: ReplyStatement, view: View, receipt: bool, whole: bool = True,
        tentative: bool = False,
    ) -> None:
        """Tell a client a result; sealed if it wants a receipt, since the channel says who speaks in any case. Large
        results go `whole` or as a digest."""
        if receipt:
            self.tell(client, Reply(statement, view, self.sealer.seal(statement), tentative))
        elif whole or sent_whole(statement.results):
            self.tell(client, Reply(statement, view, b"", tentative))
        else:
            bare = ReplyStatement(statement.client, statement.number, statement.position, ())
            self.tell(client, Reply(bare, view, b"", tentative, digest_of_results(statement.results)))

    def read(self, client: ClientId, reply: ReadReply, whole: ReplicaId, proof: bool = False) -> None:
        """Tell a client what it read; `whole` names the replica that sends large results as they are."""
        if proof:
            reply = msgspec.structs.replace(reply, seal=self.sealer.seal(reply.statement(client)))
        elif whole not in (ALL, self.me) and not sent_whole(reply.results):
            reply = ReadReply(reply.number, reply.position, (), digest_of_results(reply.results), reply.age_ns)
        self.tell(client, reply)

    def unread(self, client: ClientId, reply: Unread) -> None:
        """Tell a client that its read must be ordered."""
        self.tell(client, reply)

    def tell(self, client: ClientId, message: ToClient) -> None:
        """Hand a message to a client's connections."""
        self.network.answer(client, message)

    def hasten(self) -> None:
        """We are about to wait for the disk."""
        self.network.hasten()

    def _send(self, receiver: ReplicaId, body: bytes) -> None:
        if receiver == ALL:
            for other in self.others:
                self.network.send(other, body)
        elif receiver != self.me:
            self.network.send(receiver, body)
