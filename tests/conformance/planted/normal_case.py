"""Rules of the normal case, turned off: PRE-PREPARE, PREPARE, COMMIT, DECIDED."""

from __future__ import annotations

import pytest

from outvote.core.contract import digest_of
from outvote.protocols.pbft import normal
from outvote.protocols.pbft.messages import (
    Commit,
    Decided,
    Decision,
    Prepare,
    PrePrepare,
)
from outvote.protocols.pbft.slot import Slot
from outvote.protocols.pbft.state import State
from outvote.types import ReplicaId, Seal
from planted.bug import handle


def prepared_with_one_less(patch: pytest.MonkeyPatch) -> None:
    original = Slot.prepares_suffice
    patch.setattr(Slot, "prepares_suffice", lambda slot, quorum: original(slot, quorum - 1))


def committed_with_one_less(patch: pytest.MonkeyPatch) -> None:
    original = Slot.commits_suffice
    patch.setattr(Slot, "commits_suffice", lambda slot, quorum: original(slot, quorum - 1))


def committed_when_prepared(patch: pytest.MonkeyPatch) -> None:
    """The third phase is left out."""
    original = normal.try_prepare

    def try_prepare(state: State, slot: Slot) -> None:
        original(state, slot)
        if slot.prepared_now and slot.committed is None:
            normal.decide(state, slot, Decision(state.view, slot.position, slot.digest, (), False))

    patch.setattr(normal, "try_prepare", try_prepare)


def prepares_counted_without_digest(patch: pytest.MonkeyPatch) -> None:
    def on_prepare(state: State, sender: ReplicaId, message: Prepare, seal: Seal) -> None:
        slot = state.slot(message.position)
        if sender != state.leader() and slot.prepares.add(sender, slot.digest or message.digest, seal):
            normal.try_prepare(state, slot)

    handle(patch, Prepare, on_prepare)


def commits_counted_without_digest(patch: pytest.MonkeyPatch) -> None:
    def on_commit(state: State, sender: ReplicaId, message: Commit, seal: Seal) -> None:
        slot = state.slot(message.position)
        if slot.commits.add(sender, slot.digest or message.digest, seal):
            normal.try_commit(state, slot)

    handle(patch, Commit, on_commit)


def primary_prepare_counted(patch: pytest.MonkeyPatch) -> None:
    def on_prepare(state: State, sender: ReplicaId, message: Prepare, seal: Seal) -> None:
        slot = state.slot(message.position)
        if slot.prepares.add(sender, message.digest, seal):
            normal.try_prepare(state, slot)

    handle(patch, Prepare, on_prepare)


def second_proposal_overwrites(patch: pytest.MonkeyPatch) -> None:
    original = normal.on_pre_prepare

    def on_pre_prepare(state: State, sender: ReplicaId, message: PrePrepare, seal: Seal) -> None:
        slot = state.slot(message.position)
        if slot.digest != message.digest and sender == state.leader() != state.me:
            slot.digest = b""
        original(state, sender, message, seal)

    handle(patch, PrePrepare, on_pre_prepare)


def proposals_from_anybody(patch: pytest.MonkeyPatch) -> None:
    """The sender of a PRE-PREPARE need not be the primary."""
    original = normal.on_pre_prepare

    def on_pre_prepare(state: State, sender: ReplicaId, message: PrePrepare, seal: Seal) -> None:
        original(state, state.leader() if sender != state.me else sender, message, seal)

    handle(patch, PrePrepare, on_pre_prepare)


def one_word_decides(patch: pytest.MonkeyPatch) -> None:
    """A single DECIDED is believed."""

    def on_decided(state: State, sender: ReplicaId, message: Decided, seal: Seal) -> None:
        slot = state.slot(message.position)
        digest = digest_of(message.batch)
        slot.batches[digest] = message.batch
        normal.decide(state, slot, Decision(state.view, message.position, digest, (sender,), True))

    handle(patch, Decided, on_decided)


def told_counted_without_digest(patch: pytest.MonkeyPatch) -> None:
    """f + 1 replicas said DECIDED, whatever they said."""

    def on_decided(state: State, sender: ReplicaId, message: Decided, seal: Seal) -> None:
        slot = state.slot(message.position)
        if slot.told.add(sender, b"", b"") and slot.told.count(b"") >= state.committee.weak:
            digest = digest_of(message.batch)
            slot.batches[digest] = message.batch
            normal.decide(state, slot, Decision(state.view, message.position, digest, slot.told.voters(b""), True))

    handle(patch, Decided, on_decided)


def time_unbounded(patch: pytest.MonkeyPatch) -> None:
    """A primary may propose any time of day."""
    patch.setattr(normal, "timely", lambda _state, _slot, _message: True)


def time_checked_again(patch: pytest.MonkeyPatch) -> None:
    """The clock is asked about what was prepared in an earlier view too."""
    original = normal.acceptable

    def acceptable(state: State, message: PrePrepare) -> bool:
        return abs(message.batch.time - state.wall) <= state.config.time_tolerance_ns and original(state, message)

    patch.setattr(normal, "acceptable", acceptable)
