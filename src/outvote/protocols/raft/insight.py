"""What the simulator's checkers may know of Raft's inside. Nothing here decides anything; replicas do not import it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from outvote.core.committee import Committee
from outvote.core.contract import Core, Delivery, Record, Struct, digest_of
from outvote.protocols.raft import membership
from outvote.protocols.raft.config import RaftConfig
from outvote.protocols.raft.messages import Entry, VoteStatement
from outvote.protocols.raft.records import NOBODY, Compacted, Identified, Repaired, Voted, Wrote
from outvote.protocols.raft.replica import RaftReplica
from outvote.protocols.raft.replication import IN_FLIGHT_MAX, ROUNDS_MAX
from outvote.types import MILLISECOND, Digest, Nanos, Position, ReplicaId, Size, View


def entitles(record: Record, _me: ReplicaId, _committee: Committee) -> Struct | None:
    """What a replica may say once this record of it is durable: its vote. None: nothing that binds by itself."""
    if isinstance(record, (Voted, Identified)) and record.candidate != NOBODY:
        return VoteStatement(record.term, record.candidate)
    return None


def remembers(core: Core, statement: Struct) -> bool:
    """Whether a replica that once said this is still bound by it."""
    assert isinstance(core, RaftReplica)
    state = core.state
    if isinstance(statement, VoteStatement):
        return state.term > statement.term or (
            state.term == statement.term and state.voted == statement.candidate
        )
    return True


def final_vote(_statement: Struct) -> tuple[Position, Digest, View] | None:
    """There is none: what decides is an entry that is durable in a majority of logs, which `writes` tells."""
    return None


def content(delivery: Delivery) -> Digest:
    """What a delivery holds, whatever the term of its entry."""
    return digest_of(Entry(0, delivery.time, delivery.requests))


def content_of(entry: Entry) -> Digest:
    """The same of an entry; b"" of what a witness holds."""
    return digest_of(Entry(0, entry.time, entry.requests)) if entry.whole else b""


def keeps_data(parameters: Mapping[str, int], replica: ReplicaId) -> bool:
    return not parameters.get("witnesses", 0) >> replica & 1


def writes(record: Record) -> tuple[Position, tuple[tuple[int, Digest], ...]] | None:
    """What a record does to the log: behind this position it holds these, each with its term, and nothing else."""
    if isinstance(record, Wrote):
        return record.after, tuple((entry.term, content_of(entry)) for entry in record.entries)
    return None


def identifies(record: Record) -> tuple[Position, tuple[int, ...]] | None:
    """The terms of the entries from this position on, up to the end of the log, whatever is lost of them."""
    return (record.first, record.terms) if isinstance(record, Identified) else None


def repairs(record: Record) -> tuple[Position, tuple[int, Digest]] | None:
    """What a damaged entry was, by its position."""
    return (record.position, (record.entry.term, content_of(record.entry))) if isinstance(record, Repaired) else None


def begins(record: Record) -> tuple[Position, int] | None:
    """Where the log begins from now on, and the term there: what it holds otherwise is void."""
    return (record.position, record.term) if isinstance(record, Compacted) else None


def leads(core: Core) -> int | None:
    """The term that a core leads; None if it leads none."""
    assert isinstance(core, RaftReplica)
    return core.state.term if core.state.leads else None


def log_of(core: Core) -> tuple[Position, list[tuple[int, Digest]]]:
    """Where a core's log begins, and what it holds behind, as `writes` has it."""
    assert isinstance(core, RaftReplica)
    log = core.state.log
    return log.base, [(entry.term, content_of(entry)) for entry in log.entries]


def majority(core: Core, holders: set[ReplicaId]) -> bool:
    """Whether these are enough for a core to commit, as far as it knows who votes. What was committed before a change
    began needs the majority of those who voted then."""
    assert isinstance(core, RaftReplica)
    state = core.state
    before = membership.at(state, state.commit) if state.commit >= state.log.base else state.base_members
    return state.members.agree(holders) or before.agree(holders)


def state_vote(_statement: Struct) -> tuple[Position, Digest] | None:
    """Nobody vouches for states: each replica keeps its own."""
    return None


def state_vouchers(_committee: Committee) -> tuple[int, int]:
    return 0, 0


def relies_on(_core: Core) -> list[Record]:
    """No certificates."""
    return []


def sizes(core: Core) -> Iterator[Size]:
    """Everything in a core that others can make grow, with its limit."""
    assert isinstance(core, RaftReplica)
    state = core.state
    n, window, interval = state.committee.n, state.config.window, state.config.checkpoint_interval
    # Kept behind the snapshot, up to the next one that a slow disk may still owe, and what waits to be committed.
    yield "log entries", len(state.log.entries), 6 * window + interval
    yield "peers", len(state.peers), n
    yield "votes", len(state.votes), n
    yield "heartbeat rounds", len(state.round_sent), ROUNDS_MAX
    yield "faulty slots", len(state.repair.faulty), 6 * window + interval
    yield "entries in flight", max((len(one.in_flight) for one in state.peers.values()), default=0), IN_FLIGHT_MAX + 1
    yield from state.pool.sizes()


def patience_ns(parameters: Mapping[str, int]) -> Nanos:
    """The longest that a term may last in which something is awaited and nothing happens: an election timeout grown to
    its limit, twice, since it is drawn from one to two of them."""
    defaults = RaftConfig()
    timeout = parameters.get("view_timeout_ms", defaults.view_timeout_ns // MILLISECOND) * MILLISECOND
    return 2 * timeout * parameters.get("view_timeout_growth_max", defaults.view_timeout_growth_max)


def timeout_ns(core: Core) -> Nanos:
    """How long the core waits just now before it begins an election."""
    assert isinstance(core, RaftReplica)
    return 2 * core.state.timeout_ns()


def fruitless_views_max(parameters: Mapping[str, int], committee: Committee) -> int:
    """Terms in a row in which nothing may be committed once the world has healed: the timeout must outgrow the network,
    and at each of its lengths votes may split, or two candidates depose each other, a few times."""
    growth = parameters.get("view_timeout_growth_max", RaftConfig().view_timeout_growth_max)
    return 4 * growth.bit_length() + committee.n + 4
