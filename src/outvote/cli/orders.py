"""`outvote hand-over` and `outvote change-voters`: an operator's orders to the leader, and whether they came true.

An order is sealed with the key of a replica, which lies on that replica's host and nowhere else: clients, who are
strangers, cannot give one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from outvote.cli import endings
from outvote.cli.status import Inquiry, Overview
from outvote.configuration.files import PartyKeys, load_genesis, load_replica_keys, replica_directory
from outvote.configuration.genesis import Genesis
from outvote.crypto.seals import Ed25519Sealer, domain
from outvote.errors import Mistake, NotEnoughReplicas, UnknownOutcome
from outvote.protocols.catalogue import protocol
from outvote.types import ReplicaId
from outvote.wire.client_messages import Order, Ordered, OrderStatement, Report, ToClient, encode_client_message
from outvote.wire.frames import frame

OWNERS_ORDER: Final = "change-members"
VOTERS_MAX: Final = 63  # an order carries a bit for each replica, in 64 bits with a sign
_LOOKS_EVERY_S: Final = 0.05
_ANSWER_WITHIN_S: Final = 1.0


class Operator(Inquiry):
    """Questions to all replicas, and one order at a time."""

    def __init__(self, directory: Path, client: str | None) -> None:
        super().__init__(directory, client)
        self._answers: dict[int, asyncio.Future[Ordered]] = {}

    def heard(self, replica: ReplicaId, message: ToClient) -> None:
        if isinstance(message, Ordered):
            future = self._answers.get(message.number)
            if future is not None and not future.done():
                future.set_result(message)
            return
        super().heard(replica, message)

    async def order(self, replica: Report, what: str, argument: int, keys: PartyKeys) -> str:
        """Why the replica whose report this is did not begin it, or nothing. Sealed with `keys`, some replica's.
        Raises UnknownOutcome if it says nothing."""
        statement = OrderStatement(what, argument, replica.standing.view, time.time_ns() // 1000)
        future: asyncio.Future[Ordered] = asyncio.get_running_loop().create_future()
        self._answers[statement.number] = future
        sealer = Ed25519Sealer(domain(self.genesis.identity(), self.genesis.epoch), keys.signing)
        order = Order(statement, keys.party, sealer.seal(statement))
        self._connections.send(replica.replica, frame(encode_client_message(order)))
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                return (await future).refusal
        except TimeoutError:
            raise UnknownOutcome(f"replica {replica.replica} did not answer the order") from None
        finally:
            del self._answers[statement.number]


def hand_over(directory: Path, client: str | None, successor: ReplicaId, timeout_s: float, as_json: bool) -> int:
    """Have `successor` lead. Raises Mistake, NotEnoughReplicas, UnknownOutcome. Returns 1 if it was refused."""
    genesis = _checked(directory, timeout_s, "hand-over")
    if not 0 <= successor < genesis.n:
        raise Mistake(f"cluster.toml names the replicas 0 to {genesis.n - 1}, so there is no replica {successor}")
    return asyncio.run(_carry_out(
        directory, client, "hand-over", successor, timeout_s, as_json,
        lambda leader: leader.replica == successor, f"replica {successor} leads",
    ))  # fmt: skip


def change_voters(directory: Path, client: str | None, voters: str, timeout_s: float, as_json: bool) -> int:
    """Have these replicas vote and no others. Raises Mistake, NotEnoughReplicas, UnknownOutcome. Returns 1 if it was
    refused."""
    genesis = _checked(directory, timeout_s, "change-voters")
    wanted = parse_voters(voters, genesis.n)
    return asyncio.run(_carry_out(
        directory, client, "change-voters", sum(1 << one for one in wanted), timeout_s, as_json,
        lambda leader: leader.standing.voters == wanted and not leader.standing.changing,
        f"replicas {', '.join(map(str, wanted))} vote",
    ))  # fmt: skip


def parse_voters(text: str, n: int, what: str = "voters") -> tuple[ReplicaId, ...]:
    """"0,1,2" in ascending order. Raises Mistake."""
    if n > VOTERS_MAX:
        raise Mistake(f"{what} can be changed in clusters of up to {VOTERS_MAX} replicas, and this one has {n}")
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and int(word) < n for word in words):
        raise Mistake(f"give the {what} as numbers from 0 to {n - 1} with commas between them, as 0,1,2")
    return tuple(sorted({int(word) for word in words}))


def _checked(directory: Path, timeout_s: float, what: str) -> Genesis:
    genesis = load_genesis(directory)
    operations = protocol(genesis.entry).operations
    if what not in operations:
        why = "which replica leads is its own affair"
        if OWNERS_ORDER in operations:
            why = "nobody leads, and members change with outvote change-members"
        raise Mistake(f"{genesis.protocol} takes no order to {what}: {why}")
    if timeout_s <= 0:
        raise Mistake("--timeout must be more than 0 seconds")
    return genesis


def _replica_keys(directory: Path, genesis: Genesis) -> PartyKeys:
    """Of any replica whose directory is here."""
    for replica in range(genesis.n):
        if replica_directory(directory, replica).is_dir():
            return load_replica_keys(directory, replica, genesis)
    raise Mistake(
        f"{directory} holds no replica's keys, and an order is sealed with one: run this on a replica's host"
    )


async def _carry_out(
    directory: Path, client: str | None, what: str, argument: int, timeout_s: float, as_json: bool,
    done: Callable[[Report], bool], told: str,
) -> int:
    keys = _replica_keys(directory, load_genesis(directory))
    operator = Operator(directory, client)
    deadline = time.monotonic() + timeout_s
    try:
        refusal, leader = await _order(operator, keys, what, argument, done, deadline)
        while not refusal and not (leader is not None and done(leader)):
            if time.monotonic() > deadline:
                raise UnknownOutcome(f"begun, and not done after {timeout_s:g} s: look at outvote status")
            await asyncio.sleep(_LOOKS_EVERY_S)
            leader = leader_of(await operator.overview(_ANSWER_WITHIN_S))
    finally:
        await operator.close()
    if as_json:
        view = leader.standing.view if leader is not None else None
        print(json.dumps({"done": not refusal, "refusal": refusal or None, "view": view}))
    elif refusal:
        endings.complain(refusal)
    else:
        print(told)
    return endings.NEGATIVE if refusal else endings.DONE


async def _order(
    operator: Operator, keys: PartyKeys, what: str, argument: int, done: Callable[[Report], bool], deadline: float
) -> tuple[str, Report | None]:
    """The order goes to whoever leads, again while the answer is that this is not the time."""
    while True:
        leader = leader_of(await operator.overview(_ANSWER_WITHIN_S))
        refusal = "no replica says that it leads"
        if leader is not None:
            if done(leader):
                return "", leader
            refusal = await operator.order(leader, what, argument, keys)
            if not refusal or not passing(refusal):
                return refusal, leader
        if time.monotonic() > deadline:
            raise NotEnoughReplicas(refusal, may_execute=False)
        await asyncio.sleep(_LOOKS_EVERY_S)


def passing(refusal: str) -> bool:
    """Whether it is another thing in a moment."""
    return refusal.startswith(("busy", "the view is", "no entry of this term"))


def leader_of(overview: Overview) -> Report | None:
    """Who says of itself that it leads, in the latest view of any that do."""
    leaders: Sequence[Report] = [
        one for one in overview.reports if one and one.standing.active and one.standing.leader == one.replica
    ]
    return max(leaders, key=lambda one: one.standing.view, default=None)
