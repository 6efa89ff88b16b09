"""Snapshots and log compaction: section 7 of the paper. The host makes them, digests them and carries them; see
docs/contract.md. The client table is part of the state, the configuration is part of the record.

Each replica compacts its own log when its own state is written: nobody vouches, since nobody lies.
"""

from __future__ import annotations

from typing import Final

from outvote.core.contract import NO_STATE, Stable, Transfer
from outvote.protocols.raft import election, membership, repair, replication
from outvote.protocols.raft.members import Members
from outvote.protocols.raft.messages import Appended, InstallSnapshot, NeedState
from outvote.protocols.raft.records import NOBODY, Compacted
from outvote.protocols.raft.state import Peer, State
from outvote.types import Digest, Position, ReplicaId

OFFERS_APART: Final = 2  # election timeouts from one offer of a snapshot to the next


def executed(state: State, position: Position, digest: Digest) -> None:
    """The state after `position` is digested here, or one that was fetched is durable."""
    if position == state.fetched:
        state.fetched = 0
        if state.leader not in (NOBODY, state.me):
            state.verified = max(state.verified, position)
            state.out.messages.append((state.leader, Appended(state.term, position)))
    if position <= state.stable or state.log.base > position or position > state.delivered:
        return
    hold(state, position, digest)
    state.out.stable.append(Stable(position, digest))
    compact(state)


def hold(state: State, position: Position, digest: Digest) -> None:
    """From here on this is the last snapshot."""
    state.stable, state.stable_digest = position, digest
    state.told_stable = max(state.told_stable, position)
    state.stable_term = state.log.term(position)
    state.stable_members = membership.at(state, position)


def compact(state: State) -> None:
    """Forget what the snapshot stands for, but for as much as followers may be behind. A restart forgets that too."""
    to = state.stable - state.config.window
    if to > state.log.base:
        members = membership.at(state, to)
        state.log.compact(to)
        state.base_members = members


def forget_what_is_committed(state: State) -> None:
    """A witness's log begins anew: what is committed nobody asks it for, but for the term at the end."""
    position = state.delivered = state.commit
    if position - state.log.base >= state.config.checkpoint_interval:
        begin_bare(state, position, state.log.term(position), membership.at(state, position))


def begin_bare(state: State, position: Position, term: int, members: Members) -> None:
    state.log.begin(position, term)
    state.base_members = state.stable_members = members
    state.stable = state.delivered = position
    state.told_stable = max(state.told_stable, position)
    state.stable_term = term
    membership.look(state)
    state.out.stable.append(Stable(position, NO_STATE))


# ---------------------------------------------------------------------- the leader


def offer(state: State, replica: ReplicaId, peer: Peer) -> None:
    """What this follower lacks is compacted: it must fetch a state."""
    if state.now - peer.snapshot_at < OFFERS_APART * state.config.view_timeout_ns or not state.stable:
        return
    peer.snapshot_at = state.now
    offered = InstallSnapshot(
        state.term, state.stable, state.stable_term, state.stable_digest, state.stable_members
    )
    state.out.hints.append((replica, offered))


def on_need_state(state: State, sender: ReplicaId, message: NeedState) -> None:
    """Its disk has lost a state that its log stands on: ours may be too old for that, then a new one is made."""
    peer = state.peers.get(sender)
    if not state.leads or message.term != state.term or peer is None:
        return
    peer.heard_at = state.now
    if state.stable >= message.position:
        offer(state, sender, peer)
    elif not state.snapshot_wanted and not state.repair.pending:
        state.snapshot_wanted = True
        replication.append(state, ())


# ---------------------------------------------------------------------- the follower


def ask_for_state(state: State) -> None:
    """Again and again: sources keep their last few states only, and one that is being fetched may be gone."""
    if state.lacks_state and state.leader not in (NOBODY, state.me):
        state.out.hints.append((state.leader, NeedState(state.term, max(state.log.base, state.repair.state_of))))


def on_install_snapshot(state: State, sender: ReplicaId, message: InstallSnapshot) -> None:
    if not election.hear_leader(state, sender, message.term):
        return
    position = message.position
    whole = not state.lacks_state and position <= state.whole_to
    if whole and state.log.term(position) == message.position_term and position >= state.log.base:
        # Our log holds all of it: what came before is as the leader has it.
        state.verified = max(state.verified, position)
        state.out.messages.append((sender, Appended(state.term, position)))
        replication.commit_to(state, position)
    elif not state.keeps_data:
        if position > state.log.base:  # nothing has to be fetched: a witness only notes where the log is
            state.out.records.append(Compacted(position, message.position_term, message.members))
            begin_bare(state, position, message.position_term, message.members)
            state.commit = max(state.commit, position)
            state.verified = max(state.verified, position)
            state.out.messages.append((sender, Appended(state.term, position)))
    elif position > state.delivered and position >= state.log.base and not newer(state.fetching, message):
        state.fetching = message
        others = (other for other in state.others() if other != sender and state.config.keeps_data(other))
        state.out.transfers.append(
            Transfer(position, message.digest, (sender, *others), 2 * state.config.view_timeout_ns)
        )


def newer(held: InstallSnapshot | None, offered: InstallSnapshot) -> bool:
    """Whether a fetch that is under way will do. The leader of a later term may not have that state."""
    return held is not None and (held.position, held.term) >= (offered.position, offered.term)


def transferred(state: State, position: Position, digest: Digest) -> None:
    """The state is installed. It is acknowledged when it is durable: `executed` tells."""
    fetched = state.fetching
    if fetched is None or (fetched.position, fetched.digest) != (position, digest):
        return
    state.fetching = None
    state.fetched = position
    state.out.records.append(Compacted(position, fetched.position_term, fetched.members))
    state.log.begin(position, fetched.position_term)
    repair.touched(state, position + 1)
    repair.look(state)
    state.base_members = fetched.members
    membership.look(state)
    state.commit = max(state.commit, position)
    state.delivered = position
    hold(state, position, digest)
    state.out.stable.append(Stable(position, digest))
    replication.deliver(state)
