"""What the simulator's checkers may know of the service's inside; no general looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from outvote.core.committee import Committee
from outvote.core.contract import Core, Delivery, Message, Record, Struct, digest_of
from outvote.core.quorums import REPLICAS_MAX
from outvote.protocols.generals.dispatches import Batch, OralDispatch, SignedDispatch, order_of, statement_of
from outvote.protocols.generals.service import GeneralsConfig, GeneralsCore
from outvote.protocols.generals.signed_messages import Signature
from outvote.types import MILLISECOND, Digest, Nanos, Position, ReplicaId, Size, View


def configured(parameters: Mapping[str, int]) -> GeneralsConfig:
    """Of a genesis, or a plan, that has parameters of other protocols as well."""
    if "round_ms" in parameters:
        return GeneralsConfig(round_ns=parameters["round_ms"] * MILLISECOND)
    return GeneralsConfig()


def entitles(record: Record, me: ReplicaId, committee: Committee) -> Struct | None:
    """What a commander may sign once its order is durable."""
    return statement_of(record, me)


def remembers(core: Core, statement: Struct) -> bool:
    """Whether a commander is bound by its order: it never orders anything else in that battle."""
    assert isinstance(core, GeneralsCore)
    if not isinstance(statement, Signature):
        return True
    return core.commanded is not None and core.commanded.battle >= statement.battle


def no_vote(statement: Struct) -> tuple[Position, Digest, View] | None:
    """There are no votes to count: generals decide by what they have heard."""
    return None


def no_state_vote(statement: Struct) -> tuple[Position, Digest] | None:
    return None


def content(delivery: Delivery) -> Digest:
    return digest_of(Batch(delivery.requests))


def state_vouchers(committee: Committee) -> tuple[int, int]:
    """A general keeps what it has executed itself."""
    return 0, 0


def relies_on(core: Core) -> list[Record]:
    return []


def sizes(core: Core) -> Iterator[Size]:
    assert isinstance(core, GeneralsCore)
    return core.sizes()


def patience_ns(parameters: Mapping[str, int]) -> Nanos:
    """Until each of the generals has commanded once, however many there are."""
    return REPLICAS_MAX * 4 * configured(parameters).round_ns


def timeout_ns(core: Core) -> Nanos:
    """Until every general has commanded once."""
    assert isinstance(core, GeneralsCore)
    return core.committee.n * core.rounds * core.config.round_ns


def fruitless_views_max(parameters: Mapping[str, int], committee: Committee) -> int:
    """Views are the battles that decided something."""
    return committee.n


def variant(message: Message, salt: int) -> Message | None:
    """A commander's second order: the same requests and one of them once more, which changes the digest."""
    if not isinstance(message, OralDispatch | SignedDispatch) or len(message.path) > 1:
        return None
    requests = (*message.requests, message.requests[salt % len(message.requests)])
    order = order_of(requests)
    if isinstance(message, OralDispatch):
        return OralDispatch(message.battle, message.height, message.path, order, requests)
    return SignedDispatch(message.battle, message.height, message.path, order, message.seals, requests)
