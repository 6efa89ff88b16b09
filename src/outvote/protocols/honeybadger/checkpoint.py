"""Checkpoints, forgetting, and when to fetch a state instead of executing up to it. Not in the paper, which keeps
everything: the rules are those of Castro and Liskov 1999, section 4.3.

Kept: nothing is forgotten that a quorum has not certified and this replica has not executed (or is fetching).
"""

from __future__ import annotations

from typing import Final

from outvote.core.certificates import Seals
from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import ALL, Stable, Transfer, digest_of
from outvote.protocols.honeybadger import turnover
from outvote.protocols.honeybadger.messages import Certificate, RosterCheckpoint, StableProof
from outvote.protocols.honeybadger.ordering import deliver_ready
from outvote.protocols.honeybadger.records import Certified, Output
from outvote.protocols.honeybadger.state import State
from outvote.protocols.honeybadger.votes import ALL_MEMBERS, Value, value_of
from outvote.types import SECOND, Digest, Nanos, Position, ReplicaId, Seal

SOURCE_PATIENCE_NS: Final[Nanos] = 2 * SECOND  # for the host: then it asks another source


def executed(state: State, position: Position, digest: Digest) -> None:
    """The executor reached a checkpoint: say so. Repeating it after a restart is the same promise again.

    On our word others forget how to get there, so the outputs up to here become durable before it leaves.
    """
    if position <= state.low:
        if position == state.low and state.executes_again:
            executed_again(state, digest)
        return
    state.own_digests[position] = digest
    if position in state.decided:
        state.out.records.append(Output(position, state.decided[position]))
    vote = vote_on(state, position, digest)
    if state.members.place(state.me) is not None:
        state.out.messages.append((ALL, vote))
    found = state.checkpoint_votes.certified(position, value_of(vote))
    if found is not None:
        on_certified(state, position, *found)
    elif state.ahead is not None and state.ahead.position == position:
        learn(state, state.ahead)


def vote_on(state: State, position: Position, digest: Digest) -> Checkpoint:
    """What is to be certified there: the state, and the roster if not all are members or somebody has wished so."""
    roster = state.rosters.get(position, state.roster)
    if roster == state.all_roster:
        return Checkpoint(position, digest)
    return RosterCheckpoint(position, digest, digest_of(roster))


def executed_again(state: State, digest: Digest) -> None:
    """After a restart: a crash had come before the snapshot of the stable checkpoint was stored."""
    state.executes_again = False
    if digest == state.certified.digest:
        state.out.stable.append(Stable(state.low, digest))
    else:
        fetch(state, state.certified)


def on_checkpoint(state: State, sender: ReplicaId, message: Checkpoint, seal: Seal) -> None:
    state.heard += 1
    found = state.checkpoint_votes.add(sender, message, seal, state.high)
    if found is not None:
        on_certified(state, message.position, *found)


def on_certified(state: State, position: Position, value: Value, seals: Seals) -> None:
    """A quorum has said so. A roster that we have not come to yet we shall know when we do, or are told by a proof."""
    digest, roster_digest = value
    if roster_digest == ALL_MEMBERS:
        learn(state, Certificate(position, digest, seals))
        return
    roster = state.rosters.get(position)
    if roster is not None and digest_of(roster) == roster_digest:
        learn(state, Certificate(position, digest, seals, roster))


def on_stable_proof(state: State, sender: ReplicaId, message: StableProof) -> None:
    """An answer to our question: its sender no longer has what we lack. Fetch, unless we can go on by ourselves."""
    certificate = message.certificate
    if not turnover.follows(state, message):
        state.out.lies.append((sender, "stable checkpoint without a quorum"))
        return
    if any(link.position > state.low for link in message.links):
        arrive(state, message)
        return
    learn(state, certificate)
    fetching = state.fetching
    if fetching is not None:
        if certificate.position > fetching.position:
            fetch(state, certificate)  # sources keep their last checkpoints only
        return
    # Executed up to there already, or about to: then our own digest of it is on its way.
    ahead = state.ahead
    if ahead is not None and ahead.position > state.delivered and state.delivered + 1 not in state.decided:
        fetch(state, ahead)


def arrive(state: State, proof: StableProof) -> None:
    """The others are in a later era. What ends ours we may have executed; else the state behind it has to come."""
    first = next(link for link in proof.links if link.position > state.low)
    if state.own_digests.get(first.position) == first.digest:
        learn(state, first)  # the rest when we ask again
        return
    turnover.take_links(state, proof.links)
    fetch(state, proof.certificate)


def learn(state: State, certificate: Certificate) -> None:
    """A quorum certified this checkpoint: its signatures and signers have been checked."""
    if certificate.position <= state.low:
        return
    own = state.own_digests.get(certificate.position)
    if own == certificate.digest:
        make_stable(state, certificate)
    elif own is not None:
        fetch(state, certificate)  # our state is wrong: execute nothing more on it
    elif state.ahead is None or certificate.position > state.ahead.position:
        state.ahead = certificate
        if certificate.position > state.high and state.fetching is None:
            fetch(state, certificate)  # the others' window has passed ours


def make_stable(state: State, certificate: Certificate) -> None:
    """Move the low watermark, and let the host keep the snapshot and forget the log before it."""
    advance_low(state, certificate)
    lane = state.out.records if certificate.position <= state.stored else state.out.notes
    lane.append(Certified(certificate))
    state.out.stable.append(Stable(certificate.position, certificate.digest))


def advance_low(state: State, certificate: Certificate) -> None:
    position = certificate.position
    state.certified = certificate
    turnover.certified(state, certificate)
    if state.ahead is not None and state.ahead.position <= position:
        state.ahead = None
    state.proposed = {at: requests for at, requests in state.proposed.items() if at > position}
    state.epochs = {at: epoch for at, epoch in state.epochs.items() if at > position}
    state.finished = {at: None for at in state.finished if at > position}
    state.said = {at: words for at, words in state.said.items() if at > position}
    state.decided = {at: batch for at, batch in state.decided.items() if at > position}
    state.told = {at: votes for at, votes in state.told.items() if at > position}
    state.own_digests = {at: digest for at, digest in state.own_digests.items() if at > position}
    state.checkpoint_votes.forget(position)


def fetch(state: State, certificate: Certificate) -> None:
    """Stop delivering and have the host bring the certified state."""
    state.fetching = certificate
    if certificate.position > state.low:
        advance_low(state, certificate)
        state.out.records.append(Certified(certificate))  # a record here: the window has moved past our own state
    turnover.rewound(state, certificate)
    sources = certificate.sources(state.committee.n, state.me)
    state.out.transfers.append(Transfer(certificate.position, certificate.digest, sources, SOURCE_PATIENCE_NS))


def transferred(state: State, position: Position, digest: Digest) -> None:
    """The state at `position` is installed: go on from there."""
    fetched = state.fetching
    if fetched is None or (fetched.position, fetched.digest) != (position, digest):
        return
    state.fetching = None
    state.delivered = position
    state.own_digests = {}
    state.stored = position
    if position <= state.low:
        state.out.notes.append(Certified(fetched))
    state.out.stable.append(Stable(position, digest))
    deliver_ready(state)
