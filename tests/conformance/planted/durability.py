"""What must be on the disk before it is said, and is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from outvote.core.contract import Record
from outvote.host.turn import Turn
from outvote.protocols.pbft import restore
from outvote.protocols.pbft.records import Accepted, Announced, Certified, Committed, Entered, Left, Prepared
from outvote.protocols.pbft.state import State
from outvote.types import Digest, Position
from planted.bug import Patch


def dropped(kind: type[Record]) -> Patch:
    """Records of this kind never reach the disk."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = Turn._drain

        def drain(turn: Turn) -> None:
            out = turn.core.out
            out.records[:] = [record for record in out.records if not isinstance(record, kind)]
            original(turn)

        patch.setattr(Turn, "_drain", drain)

    plant.__name__ = f"{kind.__name__.lower()}_not_recorded"
    return plant


accepted_not_recorded = dropped(Accepted)
prepared_not_recorded = dropped(Prepared)
left_not_recorded = dropped(Left)
entered_not_recorded = dropped(Entered)
announced_not_recorded = dropped(Announced)


def sent_before_synced(patch: pytest.MonkeyPatch) -> None:
    def release(turn: Turn) -> None:
        while turn._parked:
            _, receiver, message, _ = turn._parked.popleft()
            seal = turn.voice.promise(receiver, message)
            if receiver in (-1, turn.me):
                turn._own.append((message, seal))

    patch.setattr(Turn, "_release", release)


def summary_without(kind: type[Record]) -> Patch:
    """The log begins anew behind a checkpoint, without these."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = restore.summary
        patch.setattr(
            restore, "summary", lambda state: [record for record in original(state) if not isinstance(record, kind)]
        )

    plant.__name__ = f"summary_without_{kind.__name__.lower()}"
    return plant


summary_without_accepted = summary_without(Accepted)
summary_without_prepared = summary_without(Prepared)
summary_without_entered = summary_without(Entered)
summary_without_certified = summary_without(Certified)


def restart_without_the_batch(patch: pytest.MonkeyPatch) -> None:
    """What this project once had: a decision whose batch did not survive a restart still counts as decided."""
    original = restore.restore

    def restoring(state: State, position: Position, digest: Digest, records: Sequence[Record]) -> None:
        original(state, position, digest, records)
        for record in records:
            if isinstance(record, Committed) and state.in_window(record.decision.position):
                state.slot(record.decision.position).committed = record.decision

    patch.setattr(restore, "restore", restoring)


def summary_forgets_open_proposals(patch: pytest.MonkeyPatch) -> None:
    """What this project once had: a primary's proposal was not in the summary before its own copy had come back."""
    original = restore.summary

    def summary(state: State) -> list[Record]:
        return [
            record for record in original(state)
            if not (isinstance(record, Accepted) and state.leads() and not record.seal)
        ]

    patch.setattr(restore, "summary", summary)
