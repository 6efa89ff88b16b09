"""Reads of one replica's state that may be a little old, and say how old.

Any replica answers from what it has executed, without a word to the others, as long as it knows that this is new
enough; so learners relieve the leader. For clusters in which nobody lies: elsewhere one's word is worth nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from outvote.client.receipts import Receipt
from outvote.configuration.genesis import Genesis
from outvote.errors import Mistake, NotEnoughReplicas, Refused
from outvote.machines.interface import CommandInterface
from outvote.types import SECOND, ClientId, Nanos, Position, ReplicaId
from outvote.wire.client_messages import OUTSTANDING_MAX, Read, ReadReply, Unread

ANSWER_WITHIN_S: Final = 1.0  # else the next replica is asked; two heartbeats of a default cluster and a round trip fit

AGAIN_AFTER_S: Final = 0.05


class Stale(NamedTuple):
    """What one replica's state held: everything that any client was answered `age_ns` before this came, or earlier."""

    value: Any
    position: Position  # the last that the replica had executed
    age_ns: Nanos
    replica: ReplicaId
    receipt: Receipt | None = None  # if a proof was asked for: that this replica said so, for anybody


class StaleReads:
    """Those of one client that wait, each for one replica. `now`: monotonic nanoseconds."""

    def __init__(self, genesis: Genesis, client: ClientId, now: Callable[[], Nanos]) -> None:
        self._genesis = genesis
        self._client = client
        self._now = now
        self._waiting: dict[int, tuple[ReplicaId, asyncio.Future[ReadReply | None]]] = {}

    def order(self, leader: ReplicaId, connected: Callable[[ReplicaId], bool]) -> list[ReplicaId]:
        """Whom to ask, one after the other: learners first, and the leader last, which has most to do."""
        learners, witnesses = (self._genesis.flags.get(name, 0) for name in ("learners", "witnesses"))
        n = self._genesis.n
        turn = [(self._client + step) % n for step in range(n)]
        turn = [one for one in turn if connected(one) and not witnesses >> one & 1]
        return sorted(turn, key=lambda one: (one == leader, not learners >> one & 1))

    async def ask(
        self, command: CommandInterface, operation: bytes, within_ns: Nanos, replicas: Sequence[ReplicaId],
        timeout_ns: Nanos, next_number: Callable[[], int], send: Callable[[ReplicaId, Read], None], proof: bool,
    ) -> Stale:
        """`within_ns` is above 0. Raises Mistake for what a replica cannot be asked so, NotEnoughReplicas if none of
        these answers in time: they are asked in turn, and again."""
        if self._genesis.tolerates != "crashes":
            raise Mistake("where replicas may lie nobody believes one alone: use call, which asks a quorum")
        if not command.query:
            raise Mistake(f"{command.name} is a command: only queries can be read from one replica")
        if len(self._waiting) >= OUTSTANDING_MAX:
            raise Mistake(f"{OUTSTANDING_MAX} such reads wait already: await some of them first")
        deadline = self._now() + timeout_ns
        while True:
            for replica in replicas:
                asked_at = self._now()
                reply = await self._ask(replica, Read(next_number(), (operation,), replica, within_ns, proof), send)
                if reply is not None:
                    receipt = self._receipt(replica, reply) if proof else None
                    age_ns = reply.age_ns + self._now() - asked_at  # how long it was on its way nobody knows: all of it
                    return Stale(command.decode(reply.results[0]), reply.position, age_ns, replica, receipt)
            if self._now() >= deadline:
                break
            await asyncio.sleep(AGAIN_AFTER_S)
        asked = ", ".join(map(str, replicas)) or "none is connected"
        raise NotEnoughReplicas(
            f"no replica told a state of the last {within_ns / SECOND:g} s (asked: {asked})", may_execute=False
        )

    def _receipt(self, replica: ReplicaId, reply: ReadReply) -> Receipt:
        """Raises Lie if it does not prove anything."""
        genesis, statement = self._genesis, reply.statement(self._client)
        receipt = Receipt(genesis.identity(), genesis.epoch, statement, ((replica, reply.seal),))
        receipt.check(genesis)
        return receipt

    async def _ask(
        self, replica: ReplicaId, read: Read, send: Callable[[ReplicaId, Read], None]
    ) -> ReadReply | None:
        """None: it cannot tell, or does not."""
        future: asyncio.Future[ReadReply | None] = asyncio.get_running_loop().create_future()
        self._waiting[read.number] = (replica, future)
        try:
            send(replica, read)
            async with asyncio.timeout(ANSWER_WITHIN_S):
                reply = await future
        except TimeoutError:
            return None
        finally:
            del self._waiting[read.number]
        return reply if reply is not None and reply.results else None

    def heard(self, replica: ReplicaId, message: ReadReply | Unread) -> bool:
        """Whether this was waited for here."""
        asked = self._waiting.get(message.number)
        if asked is None or asked[0] != replica:
            return False
        if not asked[1].done():
            asked[1].set_result(message if isinstance(message, ReadReply) else None)
        return True

    def close(self) -> None:
        """Nobody will answer any more."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(Refused("the client was closed before the answer came"))
