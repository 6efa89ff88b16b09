"""Checkpoints and garbage collection, section 4.3; and when to fetch a state instead of executing up to it.

Kept: nothing is forgotten that a quorum has not certified and this replica has not executed (or is fetching).
"""

from __future__ import annotations

from outvote.core.certificates import sound
from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.committee import Committee
from outvote.core.contract import ALL, Stable, Transfer
from outvote.protocols.pbft.messages import StableProof
from outvote.protocols.pbft.normal import deliver_ready
from outvote.protocols.pbft.records import Certified, Committed
from outvote.protocols.pbft.state import State
from outvote.types import SECOND, Digest, Nanos, Position, ReplicaId, Seal

FETCH_PATIENCE_NS: Nanos = 2 * SECOND  # then a newer checkpoint may replace the one being fetched; doubles


def executed(state: State, position: Position, digest: Digest) -> None:
    """The executor reached a checkpoint: say so. Repeating it after a restart is the same promise again.

    On our word others forget how to get there, so we must be able to come back: the decision is a record here, and
    before it every decision since the last checkpoint is durable. Else a liar's vote, ours, and the loss of power
    could leave a certificate for a state that nobody has.
    """
    if position <= state.low:
        if position == state.low and state.executes_again:
            executed_again(state, digest)
        return
    state.own_digests[position] = digest
    slot = state.slots.get(position)
    if slot is not None and slot.committed is not None:
        state.out.records.append(Committed(slot.committed))
    state.out.messages.append((ALL, Checkpoint(position, digest)))
    if state.ahead is not None and state.ahead.position == position:
        learn(state, state.ahead)


def executed_again(state: State, digest: Digest) -> None:
    """After a restart: a crash had come before the snapshot of the stable checkpoint was stored."""
    state.executes_again = False
    if digest == state.certified.digest:
        state.out.stable.append(Stable(state.low, digest))
    else:
        fetch(state, state.certified)


def on_checkpoint(state: State, sender: ReplicaId, message: Checkpoint, seal: Seal) -> None:
    certificate = state.checkpoint_votes.add(sender, message, seal, state.high)
    if certificate is not None:
        learn(state, certificate)


def sound_checkpoint(certificate: CheckpointCertificate, committee: Committee) -> bool:
    """A quorum of different replicas signed it. A weak quorum could be fetched from, but not forgotten behind."""
    return sound(certificate.seals, committee.quorum, committee)


def on_stable_proof(state: State, sender: ReplicaId, message: StableProof, _seal: Seal) -> None:
    """An answer to our STATUS: its sender no longer has what we lack. Fetch, unless we can go on by ourselves."""
    certificate = message.certificate
    if not sound_checkpoint(certificate, state.committee):
        state.out.lies.append((sender, "stable checkpoint without a quorum"))
        return
    learn(state, certificate)
    fetch_if_in_the_way(state)


def fetch_if_in_the_way(state: State) -> None:
    """Others have forgotten what comes next here, and no decision of it is at hand."""
    # Executed up to there already: then our own digest of it is on its way, and fetching would lead back.
    if state.ahead is not None and state.fetching is None and state.ahead.position > state.delivered:
        upcoming = state.slots.get(state.delivered + 1)
        if upcoming is None or upcoming.decided_batch() is None:
            fetch(state, state.ahead)


def learn(state: State, certificate: CheckpointCertificate) -> None:
    """A quorum certified this checkpoint: its signatures and signers have been checked."""
    if certificate.position <= state.low:
        return
    own = state.own_digests.get(certificate.position)
    if own == certificate.digest:
        make_stable(state, certificate)
    elif own is not None:
        # Our state is wrong: a bug, rot or a nondeterministic command. Execute nothing more on it.
        fetch(state, certificate)
    elif state.ahead is None or certificate.position > state.ahead.position:
        state.ahead = certificate
        if certificate.position > state.high and state.fetching is None:
            fetch(state, certificate)  # the others' window has passed ours: votes in between cannot reach us


def make_stable(state: State, certificate: CheckpointCertificate) -> None:
    """Move the low watermark h, and let the host keep the snapshot and forget the log before it."""
    advance_low(state, certificate)
    # The note is in the log that begins anew behind the snapshot. If that is stored already, no log begins anew.
    lane = state.out.records if certificate.position <= state.stored else state.out.notes
    lane.append(Certified(certificate))
    state.out.stable.append(Stable(certificate.position, certificate.digest))


def advance_low(state: State, certificate: CheckpointCertificate) -> None:
    position = certificate.position
    state.certified = certificate
    if state.ahead is not None and state.ahead.position <= position:
        state.ahead = None
    state.slots = {at: slot for at, slot in state.slots.items() if at > position}
    state.own_digests = {at: digest for at, digest in state.own_digests.items() if at > position}
    state.checkpoint_votes.forget(position)
    state.briefs = {at: brief for at, brief in state.briefs.items() if at > position}
    state.required = {at: digest for at, digest in state.required.items() if at > position}


def fetch(state: State, certificate: CheckpointCertificate, weak: bool = False) -> None:
    """Stop delivering and have the host bring the certified state. Voting goes on: it needs no state.

    `weak`: f + 1 replicas vouch for it. That is enough to execute from, and too little to move the window for.
    """
    state.fetch_patience_ns = min(state.fetch_patience_ns * 2, 64 * SECOND) or FETCH_PATIENCE_NS
    state.fetch_deadline = state.now + state.fetch_patience_ns
    state.fetching = certificate
    if certificate.position > state.low and not weak:
        advance_low(state, certificate)
        state.out.records.append(Certified(certificate))  # a record here: the window has moved past our own state
    sources = certificate.sources(state.committee.n, state.me)
    # Two views' time: a source may be fetching that state itself, and views go by in vain until somebody else is asked.
    patience_ns = 2 * state.config.view_timeout_ns
    state.out.transfers.append(Transfer(certificate.position, certificate.digest, sources, patience_ns))


def fetch_newer_if_stuck(state: State) -> None:
    """Sources keep only their last checkpoints: when a fetch takes long, aim at the newest one known."""
    if state.fetching is not None and state.now >= state.fetch_deadline:
        newest = state.fetching
        if state.ahead is not None and state.ahead.position > newest.position:
            newest = state.ahead
        fetch(state, newest, weak=newest is state.fetching and newest.position > state.low)


def transferred(state: State, position: Position, digest: Digest) -> None:
    """The state at `position` is installed: go on from there."""
    fetched = state.fetching
    if fetched is None or (fetched.position, fetched.digest) != (position, digest):
        return
    state.fetching = None
    state.fetch_patience_ns = 0
    state.delivered = position
    state.own_digests = {}
    state.stored = position
    if position <= state.low:
        state.out.notes.append(Certified(fetched))
    state.out.stable.append(Stable(position, digest))
    deliver_ready(state)
