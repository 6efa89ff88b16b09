"""Rules of view changes and their timers, turned off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from outvote.core.certificates import Seals
from outvote.core.checkpoints import CheckpointCertificate
from outvote.core.committee import Committee
from outvote.core.contract import Message
from outvote.protocols.pbft import admission, catch_up, normal, view_change
from outvote.protocols.pbft.messages import (
    Commit,
    FetchBatch,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    SealedViewChange,
    ViewChange,
)
from outvote.protocols.pbft.replica import PbftReplica
from outvote.protocols.pbft.state import State
from outvote.types import NEVER, Position, ReplicaId, Seal
from planted.bug import handle


def proposals_of_new_view_believed(patch: pytest.MonkeyPatch) -> None:
    """Backups take O as the new primary tells it."""
    original = view_change.require

    def sound_new_view(message: NewView, committee: Any, window: int) -> bool:
        return True

    def require(state: State, message: NewView) -> CheckpointCertificate:
        stable = original(state, message)
        state.required = {position: digest for position, digest in message.proposals if position > state.low}
        state.required_end = stable.position + len(message.proposals)
        return stable

    patch.setattr(view_change, "sound_new_view", sound_new_view)
    patch.setattr(view_change, "require", require)


def new_view_from_one_less(patch: pytest.MonkeyPatch) -> None:
    original = view_change.try_new_view

    def try_new_view(state: State) -> None:
        quorum = state.committee.quorum
        state.committee.quorum = quorum - 1
        original(state)
        state.committee.quorum = quorum

    def admits(state: State, sender: ReplicaId, message: NewView) -> bool:
        return message.view >= state.view and not (message.view == state.view and state.active)

    patch.setattr(view_change, "try_new_view", try_new_view)
    questions: dict[Any, Any] = {**admission._ADMITS}
    questions[NewView] = admits
    patch.setattr(admission, "_ADMITS", questions)
    patch.setattr(view_change, "sound_new_view", lambda message, committee, window: True)


def view_change_without_prepared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(view_change, "ViewChange", lambda view, stable, _prepared: ViewChange(view, stable, ()))


def prepared_forgotten_in_new_view(patch: pytest.MonkeyPatch) -> None:
    """What was prepared is shown in the first view change after it, not in the second."""
    original = view_change.enter

    def enter(state: State, message: NewView, seal: Seal) -> None:
        for slot in state.slots.values():
            slot.prepared = None
        original(state, message, seal)

    patch.setattr(view_change, "enter", enter)


def lowest_view_chosen(patch: pytest.MonkeyPatch) -> None:
    original = view_change.choose

    def choose(messages: Sequence[ViewChange]) -> Any:
        """Of the certificates for one position, keep the one of the lowest view."""
        lowest: dict[Position, PreparedCertificate] = {}
        for message in messages:
            for one in message.prepared:
                held = lowest.get(one.position)
                if held is None or one.view < held.view:
                    lowest[one.position] = one
        return original([
            msgspec.structs.replace(one, prepared=tuple(lowest[each.position] for each in one.prepared))
            for one in messages
        ])

    patch.setattr(view_change, "choose", choose)


def old_view_goes_on(patch: pytest.MonkeyPatch) -> None:
    """Messages of the view that was left are still accepted."""
    admits, early = admission.admits, admission.early

    def old(state: State, message: Message) -> bool:
        if not isinstance(message, PrePrepare | Prepare | Commit):
            return False
        return not state.active and message.view == state.view - 1

    def let_in(state: State, sender: ReplicaId, message: Message) -> bool:
        return old(state, message) or admits(state, sender, message)

    patch.setattr(admission, "admits", let_in)
    patch.setattr(admission, "early", lambda state, message: not old(state, message) and early(state, message))
    patch.setattr(State, "leader", lambda state: (state.view - (not state.active)) % state.committee.n)


def no_joining(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(view_change, "join_higher_view", lambda state: None)


def no_view_timer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PbftReplica, "_arm_view_timer", lambda core: None)


def no_timer_while_changing(patch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a NEW-VIEW waits for ever."""
    original = PbftReplica._arm_view_timer

    def arm(core: PbftReplica) -> None:
        if core.state.active:
            original(core)
        else:
            core.state.timers.cancel("view")

    patch.setattr(PbftReplica, "_arm_view_timer", arm)


def no_status(patch: pytest.MonkeyPatch) -> None:
    """Nothing that was lost is ever asked for."""
    patch.setattr(catch_up, "send_status", lambda state: None)


def required_batches_not_fetched(patch: pytest.MonkeyPatch) -> None:
    """A new primary does not ask for the batches that it must propose and does not have."""
    handle(patch, FetchBatch, lambda state, sender, message, seal: None)


def repeated_signers_accepted(patch: pytest.MonkeyPatch) -> None:
    """A certificate counts seals, not signers."""

    def sound(seals: Seals, needed: int, committee: Committee, barred: ReplicaId | None = None) -> bool:
        return len(seals) >= needed

    patch.setattr(view_change, "sound", sound)


def view_timer_never_grows(patch: pytest.MonkeyPatch) -> None:
    """The timeout does not double with fruitless views."""
    original = PbftReplica._arm_view_timer

    def arm(core: PbftReplica) -> None:
        core.state.fruitless_views = min(core.state.fruitless_views, 1)
        original(core)

    patch.setattr(PbftReplica, "_arm_view_timer", arm)


def new_view_for_any_view_change(patch: pytest.MonkeyPatch) -> None:
    """VIEW-CHANGEs for other views are counted for this one."""

    def supporters(state: State) -> list[SealedViewChange]:
        return [quoted for _, quoted in sorted(state.view_changes.items())]

    patch.setattr(view_change, "supporters", supporters)


def proposal_before_o(patch: pytest.MonkeyPatch) -> None:
    """Backups take anything in a new view, whatever O says."""
    original = normal.acceptable

    def acceptable(state: State, message: PrePrepare) -> bool:
        required, state.required_end = state.required_end, 0
        fits = original(state, message)
        state.required_end = required
        return fits or state.required.get(message.position) == message.digest

    patch.setattr(normal, "acceptable", acceptable)


def view_timer_grows_without_limit(patch: pytest.MonkeyPatch) -> None:
    """The timeout doubles for ever."""
    original = PbftReplica.__init__

    def init(core: PbftReplica, me: ReplicaId, committee: Committee, config: Any) -> None:
        original(core, me, committee, config)
        core.state.config = msgspec.structs.replace(core.state.config, view_timeout_growth_max=1 << 40)

    patch.setattr(PbftReplica, "__init__", init)


def view_timer_not_restarted(patch: pytest.MonkeyPatch) -> None:
    """What was executed does not move the deadline: a busy cluster deposes its primary again and again."""
    original = PbftReplica._arm_view_timer

    def arm(core: PbftReplica) -> None:
        timers = core.state.timers
        deadline, active = timers.deadline("view"), core.state.active
        original(core)
        if active and deadline < timers.deadline("view") < NEVER:
            timers.set("view", deadline)

    patch.setattr(PbftReplica, "_arm_view_timer", arm)
