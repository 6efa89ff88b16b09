"""What the simulator's checkers may know of the form without signatures, where it differs: see ../insight.py."""

from __future__ import annotations

from collections.abc import Iterator

from outvote.core.committee import Committee
from outvote.core.contract import Core, Record, Struct
from outvote.protocols.pbft import insight
from outvote.protocols.pbft.authenticators.messages import NewView, ViewChange
from outvote.protocols.pbft.authenticators.records import Announced, Left
from outvote.protocols.pbft.records import Certified
from outvote.protocols.pbft.replica import PbftReplica
from outvote.protocols.pbft.slot import PRE_PREPARED_MAX
from outvote.types import ReplicaId, Size


def entitles(record: Record, me: ReplicaId, committee: Committee) -> Struct | None:
    """What a replica may say once this record of it is durable. None: nothing that binds."""
    return record.message if isinstance(record, Left | Announced) else insight.entitles(record, me, committee)


def remembers(core: Core, statement: Struct) -> bool:
    """Whether a replica that once said this is still bound by it."""
    assert isinstance(core, PbftReplica)
    state = core.state
    if isinstance(statement, ViewChange):
        return state.view > statement.view or (
            state.view == statement.view and (state.active or state.unsigned.mine == statement)
        )
    if isinstance(statement, NewView):
        return state.view > statement.view or (
            state.view == statement.view and (state.active or state.unsigned.announced == statement)
        )
    return insight.remembers_votes(state, statement)


def state_vouchers(_committee: Committee) -> tuple[int, int]:
    """A new view begins behind a checkpoint that f + 1 VIEW-CHANGEs name: f of those may lie."""
    return 1, 1


def relies_on(core: Core) -> list[Record]:
    """What the core acts on just now. A checkpoint that is fetched on the word of VIEW-CHANGEs certifies nothing."""
    assert isinstance(core, PbftReplica)
    state = core.state
    certified = (state.certified, state.ahead)
    return [Certified(one) for one in certified if one is not None and one.position]


def sizes(core: Core) -> Iterator[Size]:
    """Everything in a core that others can make grow, with its limit."""
    assert isinstance(core, PbftReplica)
    n, unsigned = core.state.committee.n, core.state.unsigned
    for name, size, limit in insight.sizes(core):
        yield name, size, limit + PRE_PREPARED_MAX if name == "batches of a slot" else limit
    yield "view-changes of this view", len(unsigned.current), n
    yield "latest view-changes", len(unsigned.latest), n
    yield "acks", len(unsigned.acks), n * n
    yield "new views waited with", len(unsigned.pending), n + 1
    yield "fetched view-changes", len(unsigned.fetched), n * (n + 1)
    yield "words on views", len(unsigned.entered_words), n
    yield "words on checkpoints", len(unsigned.stable_words), n
    for slot in core.state.slots.values():
        yield "digests of Q", len(slot.pre_prepared), PRE_PREPARED_MAX
