"""What the simulator's checkers may know of PBFT's inside: which promise stands on which record, what a replica that
made one must still know, what it relies on, and how much it holds.

Nothing here decides anything; replicas do not import this file. The rules are stated a second time on purpose, from
the paper and not from the code they judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from outvote.core.checkpoints import Checkpoint
from outvote.core.committee import Committee
from outvote.core.contract import Core, Delivery, Record, Struct, digest_of
from outvote.protocols.pbft.admission import EARLY_PROPOSALS_BYTES_MAX, EARLY_VOTES_MAX, size_bytes
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.messages import (
    Batch,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    ProposalStatement,
    ViewChange,
)
from outvote.protocols.pbft.records import Accepted, Announced, Certified, Entered, Left, Prepared
from outvote.protocols.pbft.replica import PbftReplica
from outvote.protocols.pbft.slot import Slot
from outvote.protocols.pbft.state import State
from outvote.types import MILLISECOND, Digest, Nanos, Position, ReplicaId, Size, View

BATCHES_OF_A_SLOT_MAX: Final = 4  # accepted, prepared, committed, and one asked for by a new primary


def entitles(record: Record, me: ReplicaId, committee: Committee) -> Struct | None:
    """What a replica may say once this record of it is durable. None: nothing that binds."""
    if isinstance(record, Accepted):
        leads = committee.leader(record.view) == me
        return (ProposalStatement if leads else Prepare)(record.view, record.position, record.digest)
    if isinstance(record, Prepared):
        certificate = record.certificate
        return Commit(certificate.view, certificate.position, certificate.digest)
    if isinstance(record, Left | Announced):
        return record.message
    return None


def final_vote(statement: Struct) -> tuple[Position, Digest, View] | None:
    """A vote of which a quorum makes a decision: for what, where, and in which view."""
    if isinstance(statement, Commit):
        return statement.position, statement.digest, statement.view
    return None


def content(delivery: Delivery) -> Digest:
    """What `final_vote` calls the decided batch."""
    return digest_of(Batch(delivery.time, delivery.requests))


def state_vote(statement: Struct) -> tuple[Position, Digest] | None:
    """A vote of which a quorum certifies a whole state."""
    return (statement.position, statement.digest) if isinstance(statement, Checkpoint) else None


def state_vouchers(committee: Committee) -> tuple[int, int]:
    """How many must have said CHECKPOINT before a state is kept: in all, and honest ones."""
    return committee.quorum, committee.quorum - committee.faults


def remembers(core: Core, statement: Struct) -> bool:
    """Whether a replica that once said this is still bound by it: section 4.4 counts on every bit of it."""
    assert isinstance(core, PbftReplica)
    state = core.state
    if isinstance(statement, ViewChange):
        return state.view > statement.view or (
            state.view == statement.view and (state.active or state.my_view_change == statement)
        )
    if isinstance(statement, NewView):
        return state.view > statement.view or (
            state.view == statement.view and (state.active or state.announced == statement)
        )
    return remembers_votes(state, statement)


def remembers_votes(state: State, statement: Struct) -> bool:
    """The same for what is said of one position, in either form."""
    if isinstance(statement, ProposalStatement | Prepare | Commit):
        if state.view < statement.view:
            return False
        slot = state.slots.get(statement.position)
        return statement.position <= state.low or (slot is not None and _slot_remembers(state, slot, statement)) or (
            slot is None and statement.view < state.view and not isinstance(statement, Commit)
        )
    return True


def _slot_remembers(state: State, slot: Slot, statement: ProposalStatement | Prepare | Commit) -> bool:
    """A proposal or PREPARE binds within its view; a COMMIT until the position lies below a stable checkpoint."""
    if statement.view == state.view and state.active and slot.digest != statement.digest:
        return False
    if not isinstance(statement, Commit):
        return True
    shown = slot.prepared
    return shown is not None and (
        shown.view > statement.view or (shown.view == statement.view and shown.digest == statement.digest)
    )


def relies_on(core: Core) -> list[Record]:
    """What the core acts on just now, in the form of records, whether or not it ever wrote them down."""
    assert isinstance(core, PbftReplica)
    state = core.state
    found: list[Record] = [
        Certified(one) for one in (state.certified, state.ahead, state.fetching) if one is not None and one.position
    ]
    if state.new_view is not None:
        found.append(Entered(*state.new_view))
    found += [Left(quoted.message) for _, quoted in sorted(state.view_changes.items())]
    return found


def sizes(core: Core) -> Iterator[Size]:
    """Everything in a core that others can make grow, with its limit."""
    assert isinstance(core, PbftReplica)
    state = core.state
    n, window = state.committee.n, state.config.window
    checkpoints = window // state.config.checkpoint_interval
    slots = state.slots.values()
    yield "slots", len(slots), window
    yield "batches of a slot", max((len(slot.batches) for slot in slots), default=0), BATCHES_OF_A_SLOT_MAX
    yield "positions of O", len(state.required), window
    yield "view-changes", len(state.view_changes), n
    yield "own checkpoints", len(state.own_digests), checkpoints
    yield "checkpoints voted on", len(state.checkpoint_votes.near), checkpoints
    yield "far checkpoints", len(state.checkpoint_votes.far), n
    yield "statuses answered", len(state.answered_status), n
    yield "proposals without their bodies", len(state.briefs), window
    yield "progress heard of", max(len(state.heard_delivered), len(state.pushed_at), len(state.reached_told)), n
    yield "early senders", len(state.early), n
    for held in state.early.values():
        proposals = [message for message, _ in held if isinstance(message, PrePrepare)]
        yield "early proposals of a sender", len(proposals), window
        yield "bytes of early proposals of a sender", sum(map(size_bytes, proposals)), EARLY_PROPOSALS_BYTES_MAX
        yield "early votes of a sender", len(held) - len(proposals), EARLY_VOTES_MAX
    yield from state.pool.sizes()
    yield from state.performance.sizes(n, window)


def patience_ns(parameters: Mapping[str, int]) -> Nanos:
    """The longest that a view may last in which something is awaited and nothing happens."""
    defaults = PbftConfig()
    timeout = parameters.get("view_timeout_ms", defaults.view_timeout_ns // MILLISECOND) * MILLISECOND
    return timeout * parameters.get("view_timeout_growth_max", defaults.view_timeout_growth_max)


def timeout_ns(core: Core) -> Nanos:
    """How long the core waits just now before it gives a view up: it doubles with each fruitless one."""
    assert isinstance(core, PbftReplica)
    config = core.state.config
    doubled = config.view_timeout_ns << min(max(0, core.state.fruitless_views - 1), 30)
    return max(core.state.view_timeout_ns, min(doubled, config.view_timeout_ns * config.view_timeout_growth_max))


def fruitless_views_max(parameters: Mapping[str, int], committee: Committee) -> int:
    """Views in a row that may decide nothing once only f replicas disturb: the timeout must outgrow the network (it
    doubles up to its limit), then f primaries in a row may lie, and one view is lost to catching up."""
    growth = parameters.get("view_timeout_growth_max", PbftConfig().view_timeout_growth_max)
    return growth.bit_length() + committee.faults + 2
