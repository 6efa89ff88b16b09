"""What the simulator's checkers may know of HoneyBadger's inside. Nothing here decides anything; replicas do not import
this file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from outvote.broadcast.binary_agreement import ROUNDS_AHEAD, Term
from outvote.core.checkpoints import Checkpoint
from outvote.core.committee import Committee
from outvote.core.contract import Core, Delivery, Record, Struct, digest_of
from outvote.core.patience import Patient
from outvote.protocols.honeybadger import turnover
from outvote.protocols.honeybadger.membership import CHANGES_MAX, Era
from outvote.protocols.honeybadger.messages import Agreeing, Batch, Decrypting
from outvote.protocols.honeybadger.records import Certified, Wished
from outvote.protocols.honeybadger.replica import DECIDED_AHEAD, HoneyBadgerReplica
from outvote.protocols.honeybadger.state import State
from outvote.types import SECOND, Digest, Nanos, Position, ReplicaId, Size, View

# There is no timeout to take the bounds of liveness from. An epoch takes some 20 messages one after the other, an
# agreement may need several rounds of 5, and what was lost is asked for every 0.2 s: with messages of 0.1 s on average
# and sometimes twenty times that, 4 s are an epoch's expected time, with rounds to spare.
EPOCH_NS: Final[Nanos] = 4 * SECOND


def state_of(core: Core) -> State:
    assert isinstance(core, Patient)
    assert isinstance(core.inner, HoneyBadgerReplica)
    return core.inner.state


def entitles(_record: Record, _me: ReplicaId, _committee: Committee) -> Struct | None:
    """Nothing that is said is exclusive in itself: what binds is within the components, and so is tested there."""
    return None


def remembers(_core: Core, _statement: Struct) -> bool:
    return True


def final_vote(_statement: Struct) -> tuple[Position, Digest, View] | None:
    """There is none: an epoch ends when n agreements have ended."""
    return None


def content(delivery: Delivery) -> Digest:
    return digest_of(Batch(delivery.time, delivery.requests))


def state_vote(statement: Struct) -> tuple[Position, Digest] | None:
    """A vote of which a quorum certifies a whole state."""
    return (statement.position, statement.digest) if isinstance(statement, Checkpoint) else None


def state_vouchers(committee: Committee) -> tuple[int, int]:
    """How many must have said CHECKPOINT before a state is kept: in all, and honest ones."""
    return committee.quorum, committee.quorum - committee.faults


def eras(core: Core) -> list[Era]:
    """Who the members are and were, as far as this core knows: oldest first."""
    state = state_of(core)
    known = [state.first_roster.era, *(link.roster.next for link in state.links if link.roster is not None)]
    return [one for one in known if one is not None]


def wished(record: Record) -> tuple[int, tuple[ReplicaId, ...]] | None:
    """In which era a replica's owner wants whom for members."""
    if not isinstance(record, Wished):
        return None
    return record.era, tuple(one for one in range(record.wish.bit_length()) if record.wish >> one & 1)


def decides(statement: Struct) -> tuple[Position, ReplicaId, bool] | None:
    """An agreement on whether a proposal is in has ended, says who says this."""
    if isinstance(statement, Agreeing) and isinstance(statement.body, Term):
        return statement.epoch, statement.proposer, statement.body.bit
    return None


def opens(statement: Struct) -> tuple[Position, ReplicaId] | None:
    """A share of the decryption of a proposal."""
    return (statement.epoch, statement.proposer) if isinstance(statement, Decrypting) else None


def relies_on(core: Core) -> list[Record]:
    state = state_of(core)
    held = (state.certified, state.ahead, state.fetching)
    return [Certified(one) for one in held if one is not None and one.position]


def sizes(core: Core) -> Iterator[Size]:
    """Everything in a core that others can make grow, with its limit."""
    state = state_of(core)
    n, window = state.committee.n, state.config.window
    yield from _sizes_of_membership(state)
    yield "epochs", len(state.epochs), window
    yield "finished epochs", len(state.finished), window
    yield "outputs", len(state.decided), window
    yield "own proposals under way", len(state.proposed), state.config.pipeline
    # Of each agreement's round and of each ciphertext one's own share, the others' n - 1, and what they combine to.
    yield "jobs under way", len(state.desk), window * n * 2 * (n + 1)
    yield "epochs spoken in", len(state.said), window
    # n VALs, and of each proposer ECHO, READY, TERM, a share of the decryption, and 5 a round.
    words = n + n * (4 + 5 * ROUNDS_AHEAD)
    yield "words of an epoch", max((len(said) for said in state.said.values()), default=0), words
    yield "epochs told of", len(state.told), DECIDED_AHEAD
    most = window // state.config.checkpoint_interval + 1  # one where an era ends
    yield "own checkpoints", len(state.own_digests), most
    yield "checkpoints voted on", len(state.checkpoint_votes.near), most
    yield "far checkpoints", len(state.checkpoint_votes.far), n
    for epoch in state.epochs.values():
        rounds = max(agreement.rounds_held() for agreement in epoch.subset.agreements)
        yield "rounds of an agreement", rounds, ROUNDS_AHEAD + 1
    yield from state.pool.sizes()


def _sizes_of_membership(state: State) -> Iterator[Size]:
    n, roster = state.committee.n, state.roster
    yield "wishes", len(roster.wishes), n
    yield "keys handed", len(roster.handed), n
    yield "links", len(state.links), CHANGES_MAX
    yield "rosters", len(state.rosters), state.config.window // state.config.checkpoint_interval + 1
    for holding in turnover.holdings(state):
        yield "members without a share", len(holding.asked_by), n
    if state.handover is not None:
        yield "words of a re-sharing", len(state.handover.spoken), state.handover.words_max
        yield "new members' words", len(state.handover.possessed), n


def sizes_while_founding(core: Core) -> Iterator[Size]:
    """The same of a replica whose cluster makes its own keys."""
    from outvote.protocols.honeybadger.founding import FoundingReplica  # noqa: PLC0415 - needs an extra

    yield from sizes(core)
    assert isinstance(core, Patient)
    assert isinstance(core.inner, FoundingReplica)
    yield from core.inner.founding_sizes()


def patience_ns(_parameters: Mapping[str, int]) -> Nanos:
    return 4 * EPOCH_NS


def timeout_ns(_core: Core) -> Nanos:
    return EPOCH_NS


def fruitless_views_max(_parameters: Mapping[str, int], _committee: Committee) -> int:
    """There are no views."""
    return 0
