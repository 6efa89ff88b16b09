"""Elections: section 5.2 and 5.4.1 of the paper; pre-vote and check-quorum from section 9.6 and 6.2 of the thesis.

Kept: one vote a term, durable before it is said; a vote only for a log that lacks nothing that ours has.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from outvote.protocols.raft import reads, replication
from outvote.protocols.raft.messages import (
    PreVote,
    PreVoted,
    Refused,
    RequestVote,
    TimeoutNow,
    Vote,
)
from outvote.protocols.raft.records import NOBODY, Voted
from outvote.protocols.raft.state import LONG_AGO, State
from outvote.types import Nanos, ReplicaId

LEADERS_TIMERS: Final = ("heartbeat", "announce", "quorum", "transfer")


def patience_ns(state: State) -> Nanos:
    """From one to two election timeouts, different for everybody and every time, so that votes seldom split. The
    contract gives a core no entropy, and none is needed: a digest of who, when and how often is uneven enough."""
    timeout = state.timeout_ns()
    draw = sha256(f"{state.me} {state.term} {state.fruitless}".encode()).digest()
    return timeout + int.from_bytes(draw[:6], "big") % timeout


def wait(state: State) -> None:
    """Begin the election timer anew. Learners, witnesses, and those whose state is lost, wait
    without it."""
    if state.may_lead and not state.leads:
        state.timers.set("election", state.now + patience_ns(state))
    else:
        state.timers.cancel("election")


def enter_term(state: State, term: int) -> None:
    """Somebody is in a later term: follow it, without a leader as yet."""
    state.term, state.voted = term, NOBODY
    state.out.records.append(Voted(term, NOBODY))
    state.verified = 0
    follow(state, NOBODY)


def follow(state: State, leader: ReplicaId) -> None:
    """Become a follower in the current term, or stay one."""
    if state.role != "follower" or state.leader != leader:
        led = state.leads
        state.role, state.leader = "follower", leader
        state.votes, state.forced = {}, False
        state.peers = {}
        state.transferring = NOBODY
        state.repair.pending = False
        state.lease_until = LONG_AGO
        for name in LEADERS_TIMERS:
            state.timers.cancel(name)
        if led:
            state.pool.propose_again()
        reads.begin_again(state)
        replication.forward_all(state)
    wait(state)


def hear_leader(state: State, leader: ReplicaId, term: int) -> bool:
    """What a message from the leader of a term changes; False if that term has passed."""
    if term < state.term:
        state.out.hints.append((leader, Refused(state.term, 0, 0)))
        return False
    if term > state.term:
        enter_term(state, term)
    elif state.leads:
        return False  # two leaders of a term cannot be where nobody lies
    state.heard_at = state.now
    follow(state, leader)
    return True


def leader_is_live(state: State) -> bool:
    """Whether there is a leader that need not be replaced: heard of within the least election timeout, in any term, or
    this replica itself, as long as a majority answers it. A lease relies on that, so a restart counts as hearing of
    one: it may have been heard of just before."""
    return bool(state.config.check_quorum) and (
        state.leads or state.now - state.heard_at < state.config.view_timeout_ns
    )


# ---------------------------------------------------------------------- asking


def timed_out(state: State) -> None:
    """Nothing was heard of a leader for too long."""
    if not state.may_lead or state.leads:
        return
    state.fruitless += 1
    if state.lacks_state:
        wait(state)  # it could not serve; the others will elect somebody who can
        return
    if not state.config.pre_vote:
        campaign(state)
        return
    state.role, state.leader = "pre-candidate", NOBODY  # whoever has no leader stands in nobody's way
    reads.begin_again(state)
    state.votes = {state.me: None}
    wait(state)
    if state.majority_of_one:
        campaign(state)
        return
    asked = PreVote(state.term + 1, state.log.last, state.log.last_term)
    state.out.hints += [(other, asked) for other in state.others() if state.members.votes(other)]


def campaign(state: State, forced: bool = False) -> None:
    """Enter the next term as a candidate, with one's own vote, that counts when it is durable."""
    state.term += 1
    state.voted = state.me
    state.role, state.leader = "candidate", NOBODY
    state.votes, state.forced = {}, forced
    state.verified = 0
    reads.begin_again(state)
    state.out.records.append(Voted(state.term, state.me))
    state.out.messages.append((state.me, Vote(state.term, state.me)))
    asked = RequestVote(state.term, state.me, state.log.last, state.log.last_term, forced)
    state.out.messages += [(other, asked) for other in state.others() if state.members.votes(other)]
    wait(state)


def on_timeout_now(state: State, _sender: ReplicaId, message: TimeoutNow) -> None:
    """The leader hands over: no pre-vote, or those who hear it still would refuse."""
    may = state.role == "follower" and state.may_lead and not state.lacks_state
    if may and message.term == state.term:
        campaign(state, forced=True)


# ---------------------------------------------------------------------- answering


def on_pre_vote(state: State, sender: ReplicaId, message: PreVote) -> None:
    """Would we vote for it? Nothing changes here, whatever the answer. A refusal carries our term, or a replica that
    is behind could never catch up with those who refuse it."""
    granted = (
        message.term > state.term
        and not leader_is_live(state)
        and not state.log.newer_than(message.last, message.last_term)
    )
    state.out.hints.append((sender, PreVoted(state.term, message.term, granted)))


def on_pre_voted(state: State, sender: ReplicaId, message: PreVoted) -> None:
    if message.term > state.term:
        enter_term(state, message.term)
    elif message.granted and state.role == "pre-candidate" and message.asked == state.term + 1:
        state.votes[sender] = None
        if state.members.agree(state.votes):
            campaign(state)


def on_request_vote(state: State, sender: ReplicaId, message: RequestVote) -> None:
    if leader_is_live(state) and not message.transfer:
        return  # it has been cut off, and would depose a leader that works; its term does not concern us
    if message.term > state.term:
        enter_term(state, message.term)
    if message.term < state.term:
        state.out.hints.append((sender, PreVoted(state.term, 0, False)))
        return
    if state.voted not in (NOBODY, sender) or state.log.newer_than(message.last, message.last_term):
        return
    if state.voted == NOBODY:
        state.voted = sender
        state.out.records.append(Voted(state.term, sender))
    state.out.messages.append((sender, Vote(state.term, sender)))
    wait(state)


def on_vote(state: State, sender: ReplicaId, message: Vote) -> None:
    if state.role == "candidate" and message.term == state.term and message.candidate == state.me:
        state.votes[sender] = None
        if state.members.agree(state.votes):
            replication.lead(state)
