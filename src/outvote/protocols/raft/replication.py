"""The leader's log on all the others: section 5.3 of the paper, with pipelining (thesis, section 10.2.1).

Kept: a follower acknowledges what is durable and checked against the leader's log, and no more; nothing is truncated
but where it conflicts; a leader commits by counting only what it wrote itself in this term, and what lies before that.
"""

from __future__ import annotations

from typing import Final

from outvote.core.contract import ALL, Delivery, Request
from outvote.protocols.raft import election, membership, reads, repair, snapshots
from outvote.protocols.raft.log import UNKNOWN
from outvote.protocols.raft.messages import (
    Appended,
    AppendEntries,
    Entry,
    Flushed,
    Forward,
    Heard,
    Heartbeat,
    Refused,
    TimeoutNow,
)
from outvote.protocols.raft.records import NOBODY, Wrote
from outvote.protocols.raft.state import Peer, State
from outvote.types import MILLISECOND, Nanos, Position, ReplicaId

IN_FLIGHT_MAX: Final = 16  # messages with entries that a follower has not acknowledged; 16 x 2 MiB at the very worst
ENTRIES_MAX: Final = 64  # of one message
FORWARDED_MAX: Final = 16  # waiting requests forwarded anew at a time
ROUNDS_MAX: Final = 64  # heartbeat rounds remembered while nobody answers: 8 election timeouts
SILENT_PARTS: Final = 2  # of an election timeout without a word, and witnesses stand in: 4 heartbeats
ANNOUNCE_NS: Nanos = 10 * MILLISECOND  # an idle leader says that much later what is committed


# ---------------------------------------------------------------------- the leader


def lead(state: State) -> None:
    """A majority voted for us. An entry of our own begins the term: only with it may earlier ones be committed."""
    state.role, state.leader = "leader", state.me
    state.votes = {}
    state.timers.cancel("election")
    state.peers = {other: Peer(state.log.last + 1, state.now) for other in state.others()}
    state.flushed = 0
    state.round, state.round_sent = 0, {}
    state.transferring = NOBODY
    state.pool.propose_again()
    for index in range(max(state.delivered, state.log.base) + 1, state.log.last + 1):
        for request in state.log.at(index).requests:
            state.pool.mark_proposed(request)
    state.timers.set("quorum", state.now + state.timeout_ns())
    state.repair.pending, state.term_start = True, state.log.last + 1
    for slot in state.repair.faulty.values():
        slot.dont_have = {}
    repair.begin_when_whole(state)
    beat(state)


def begin_term(state: State) -> None:
    """Its log is whole."""
    state.repair.pending = False
    for peer in state.peers.values():
        peer.next = peer.sent_from = min(peer.next, state.log.last + 1)
    append(state, ())
    state.term_start = state.log.last
    reads.begin_again(state)


def try_propose(state: State) -> None:
    """Cut what waits into entries. One at a time while they are small: what comes meanwhile makes the next one larger,
    and one write, one message and one acknowledgement are shared by more. Full ones follow each other."""
    config, log = state.config, state.log
    if state.transferring != NOBODY or state.repair.pending:
        return
    depth = config.pipeline if config.pipelining else 1
    while state.pool.has_unproposed() and log.last - state.commit < config.window:
        under_way = log.last - state.commit
        full = state.pool.fills(config.batch_requests_max, config.batch_bytes_max)
        if under_way and not (full and under_way < depth):
            break
        if log.last - state.stable >= 4 * config.window:
            break  # the disk is slow with snapshots, and the log must not outgrow memory
        append(state, state.pool.cut(config.batch_requests_max, config.batch_bytes_max))


def append(state: State, requests: tuple[Request, ...], entry: Entry | None = None) -> None:
    """Write one entry to our own log, and have our own disk say when it is durable."""
    log = state.log
    entry = entry or Entry(state.term, state.wall, requests)
    state.out.records.append(Wrote(log.last, (entry,)))
    log.write(log.last, (entry,))
    repair.touched(state, log.last)
    membership.written(state, log.last, (entry,))
    state.out.messages.append((state.me, Flushed(state.term, log.last)))


def on_flushed(state: State, sender: ReplicaId, message: Flushed) -> None:
    if sender == state.me and state.leads and message.term == state.term:
        state.flushed = max(state.flushed, message.match)
        advance_commit(state)


def send_entries(state: State) -> None:
    """To each follower what it lacks and may have. If all are equally far it is one message, encoded once."""
    if all(peer.next > state.log.last for peer in state.peers.values()):
        return
    if state.config.witnesses or state.repair.faulty:
        for replica, peer in state.peers.items():
            send_to(state, replica, peer)
        return
    following = next(iter(state.peers.values())).next
    if following > state.log.base and all(
        peer.next == following and not peer.probing and has_room(state, peer) for peer in state.peers.values()
    ):
        message = entries_from(state, following)
        state.out.hints.append((ALL, message))
        for peer in state.peers.values():
            _sent(peer, message)
    for replica, peer in state.peers.items():
        send_to(state, replica, peer)


def send_to(state: State, replica: ReplicaId, peer: Peer) -> None:
    """One follower's share, as far as the pipeline has room."""
    whole = state.config.keeps_data(replica)
    last = state.whole_to if whole else min(state.whole_to, held_by_data(state))
    while peer.next <= last and has_room(state, peer):
        if peer.next <= state.log.base:
            snapshots.offer(state, replica, peer)
            return
        message = entries_from(state, peer.next) if whole else bare_entries_from(state, peer.next, last)
        state.out.hints.append((replica, message))
        _sent(peer, message)


def has_room(state: State, peer: Peer) -> bool:
    most = 1 if peer.probing or not state.config.pipelining else IN_FLIGHT_MAX
    return len(peer.in_flight) < most


def entries_from(state: State, first: Position) -> AppendEntries:
    log = state.log
    entries = log.slice(first, state.config.batch_bytes_max, ENTRIES_MAX)
    return AppendEntries(state.term, first - 1, log.term(first - 1), entries, state.commit)


def bare_entries_from(state: State, first: Position, last: Position) -> AppendEntries:
    """A witness's share: small enough to go in one message."""
    log = state.log
    entries = log.slice(first, state.config.batch_bytes_max, min(ENTRIES_MAX, last - first + 1))
    bare = tuple([entry.bare() for entry in entries])
    return AppendEntries(state.term, first - 1, log.term(first - 1), bare, state.commit)


def held_by_data(state: State) -> Position:
    """How far witnesses may be told of the log. Were they told of more, an entry could be on the disks of a leader and
    of witnesses alone while others that keep data are up: if that leader fails, witnesses vote for none of those."""
    since = state.now - state.config.view_timeout_ns // SILENT_PARTS
    keeps_data = state.config.keeps_data
    matched = {replica: peer.match for replica, peer in state.peers.items() if keeps_data(replica)}
    live = [replica for replica, peer in state.peers.items() if peer.heard_at >= since]
    matched[state.me] = state.flushed
    return state.members.held(matched, (state.me, *live))


def _sent(peer: Peer, message: AppendEntries) -> None:
    peer.sent_from = message.previous + 1
    peer.next = message.previous + len(message.entries) + 1
    peer.in_flight.append(peer.next - 1)


def on_appended(state: State, sender: ReplicaId, message: Appended) -> None:
    peer = state.peers.get(sender)
    if not state.leads or message.term != state.term or peer is None:
        return
    peer.heard_at = state.now
    if message.match > state.log.last:
        return  # of a log that is not ours
    peer.in_flight = [position for position in peer.in_flight if position > message.match]
    if message.match >= peer.next - 1 or message.match > peer.match:
        peer.probing = False
    if message.match > peer.match:
        peer.match = message.match
        peer.moved_at = state.now
        advance_commit(state)
    peer.next = max(peer.next, peer.match + 1)
    hand_over_if_ready(state)


def on_refused(state: State, sender: ReplicaId, message: Refused) -> None:
    """It lacks what we took for granted: look further back, once for each place."""
    if message.term > state.term:
        election.enter_term(state, message.term)
        return
    peer = state.peers.get(sender)
    if not state.leads or message.term != state.term or peer is None:
        return
    peer.heard_at = state.now
    if message.previous <= peer.match or (peer.probing and message.previous != peer.sent_from - 1):
        return  # it speaks of what has been made up for
    peer.probing = True
    peer.in_flight = []
    peer.next = max(peer.match + 1, min(message.previous, message.hint + 1))


def advance_commit(state: State) -> None:
    """Section 5.4.2: counting decides for entries of our own term only, and with them for all before."""
    matched = {replica: peer.match for replica, peer in state.peers.items()}
    matched[state.me] = state.flushed
    reached = state.members.reached(matched)
    if reached > state.commit and state.log.term(reached) == state.term:
        commit_to(state, reached)
        membership.committed(state)
        state.timers.set("announce", state.now + ANNOUNCE_NS)


def commit_to(state: State, position: Position) -> None:
    if position > state.commit:
        state.commit = position
        state.fruitless = 0
        deliver(state)


def deliver(state: State) -> None:
    """Hand over what is committed, in order. Only the leader answers: one answer is enough, and costs least."""
    if not state.keeps_data:
        snapshots.forget_what_is_committed(state)
        return
    if state.fetching is not None or state.lacks_state:
        return
    route = state.term * state.committee.n + max(state.leader, 0)
    while state.delivered < min(state.commit, state.whole_to):
        position = state.delivered + 1
        entry = state.log.at(position)
        for request in entry.requests:
            state.pool.mark_executed(request)
        checkpoint = position % state.config.checkpoint_interval == 0
        if state.snapshot_wanted and position == state.commit:
            checkpoint, state.snapshot_wanted = True, False
        state.delivered = position
        state.out.deliveries.append(
            Delivery(position, entry.time, entry.requests, route, checkpoint, answer=state.leads)
        )


# ---------------------------------------------------------------------- heartbeats


def beat(state: State) -> None:
    """A new round of heartbeats; and whoever has been silent about entries for two of them is asked anew."""
    state.round += 1
    state.beat_due = False
    if len(state.round_sent) < ROUNDS_MAX:
        state.round_sent[state.round] = state.now
    state.out.hints.append((ALL, Heartbeat(state.term, state.commit, state.round, state.log.term(state.commit))))
    state.timers.set("heartbeat", state.now + state.config.heartbeat_ns)
    state.timers.cancel("announce")
    for replica, peer in state.peers.items():
        if peer.match >= state.log.last:
            peer.moved_at = state.now
        elif state.now - peer.moved_at >= 2 * state.config.heartbeat_ns and peer.match < peer.next - 1:
            peer.moved_at = state.now
            peer.probing, peer.in_flight = True, []
            peer.next = peer.match + 1 if peer.match else peer.sent_from
            send_to(state, replica, peer)
    reads.confirm(state)


def on_heartbeat(state: State, sender: ReplicaId, message: Heartbeat) -> None:
    if election.hear_leader(state, sender, message.term):
        if message.commit_term == state.log.term(message.commit) != UNKNOWN:
            state.verified = max(state.verified, message.commit)
        commit_to(state, min(message.commit, state.verified))
        state.out.hints.append((sender, Heard(state.term, message.round)))
        snapshots.ask_for_state(state)


def on_heard(state: State, sender: ReplicaId, message: Heard) -> None:
    peer = state.peers.get(sender)
    if not state.leads or message.term != state.term or peer is None or message.round > state.round:
        return
    peer.heard_at = state.now
    if message.round > peer.confirmed:
        peer.confirmed = message.round
        reads.confirm(state)


def check_quorum(state: State) -> None:
    """A leader that no majority answers cannot commit, and keeps others from it: it resigns."""
    if not state.config.check_quorum:
        return
    since = state.now - state.timeout_ns()
    live = [replica for replica, peer in state.peers.items() if peer.heard_at >= since]
    if state.members.agree((state.me, *live)):
        state.timers.set("quorum", state.now + state.timeout_ns())
    else:
        election.follow(state, NOBODY)


# ---------------------------------------------------------------------- the follower


def on_append_entries(state: State, sender: ReplicaId, message: AppendEntries) -> None:
    if not election.hear_leader(state, sender, message.term):
        return
    log = state.log
    previous, entries = message.previous, message.entries
    end = previous + len(entries)
    if previous < log.base:  # all that is compacted here is committed, so it is as the leader has it
        entries = entries[log.base - previous :]
        previous = log.base
        end = max(end, previous)
    elif log.term(previous) != message.previous_term:
        state.out.hints.append((sender, Refused(state.term, previous, _hint(state, previous))))
        return
    for index, entry in enumerate(entries):
        held = log.term(previous + 1 + index)
        if held == entry.term:
            if entry.whole and previous + 1 + index in state.repair.faulty:
                repair.fill(state, previous + 1 + index, entry)
            continue
        after, new = previous + index, entries[index:]
        if (state.lacks_state or state.fetching is not None) and len(log.entries) >= 2 * state.config.window:
            return  # what cannot be executed yet must not fill memory; it comes again
        assert after >= state.commit, "a leader that lacks what is committed"
        state.out.records.append(Wrote(after, new))
        log.write(after, new)
        repair.touched(state, after + 1)
        membership.written(state, after + 1, new)
        if state.repair.faulty:
            repair.look(state)
        break
    state.verified = max(state.verified, end)
    state.out.messages.append((sender, Appended(state.term, min(end, state.whole_to))))
    commit_to(state, min(message.commit, state.verified))


def _hint(state: State, previous: Position) -> Position:
    """Where the leader may look next: our end, or what lies before the term that conflicts (section 5.3)."""
    log = state.log
    conflicting = log.term(previous)
    if conflicting == UNKNOWN:
        return log.last
    index = previous
    while index > max(log.base, state.commit) and log.term(index) == conflicting:
        index -= 1
    return index


def forward_all(state: State) -> None:
    """Waiting requests go to a leader that may not know of them."""
    if state.leader not in (NOBODY, state.me):
        for request in state.pool.waiting()[:FORWARDED_MAX]:
            state.out.hints.append((state.leader, Forward(request)))


def on_forward(state: State, _sender: ReplicaId, message: Forward) -> None:
    """Its client's seal was checked by whoever forwards it."""
    if state.leads:
        state.pool.add(message.request)


# ---------------------------------------------------------------------- leadership transfer


def hand_over(state: State, successor: ReplicaId) -> str:
    """Stop taking requests, bring `successor` up to date, and have it begin an election at once (thesis, 3.10).
    Returns why that cannot be done, or nothing."""
    if not state.leads:
        return "only the leader hands over"
    if successor == state.me:
        return "it leads already"
    if state.repair.pending:
        return "busy: its log is being repaired"
    if not state.members.votes(successor):
        return f"replica {successor} does not vote, so it cannot lead"
    if not state.config.keeps_data(successor):
        return f"replica {successor} is a witness: it keeps no data, and never leads"
    state.transferring = successor
    state.lease_until = state.now  # whoever it elects is not bound by our lease
    state.timers.set("transfer", state.now + state.config.view_timeout_ns)
    hand_over_if_ready(state)
    return ""


def hand_over_if_ready(state: State) -> None:
    if state.transferring == NOBODY or not state.leads:
        return
    if state.peers[state.transferring].match == state.log.last:
        state.out.hints.append((state.transferring, TimeoutNow(state.term)))


def give_up_transfer(state: State) -> None:
    """It has not come to an election within a timeout: lead on."""
    state.transferring = NOBODY
