"""The form without signatures, as the core's other parts see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from outvote.core.contract import Hint, Message, Record
from outvote.protocols.pbft.authenticators import admission, checkpoint, view_change
from outvote.protocols.pbft.authenticators.messages import (
    EnteredView,
    FetchedViewChange,
    FetchViewChange,
    NewView,
    StableWord,
    ViewChange,
    ViewChangeAck,
)
from outvote.protocols.pbft.authenticators.records import Announced, Entered, Left, PrePrepared
from outvote.protocols.pbft.form import Form, Handlers, Questions
from outvote.protocols.pbft.messages import Status
from outvote.protocols.pbft.state import State
from outvote.types import ReplicaId


class Authenticators(Form):
    """TOCS 2002, section 4."""

    handlers: ClassVar[Handlers] = {
        ViewChange: view_change.on_view_change,
        ViewChangeAck: view_change.on_view_change_ack,
        NewView: view_change.on_new_view,
        EnteredView: view_change.on_entered_view,
        FetchViewChange: view_change.on_fetch_view_change,
        FetchedViewChange: view_change.on_fetched_view_change,
        StableWord: checkpoint.on_stable_word,
    }
    admits: ClassVar[Questions] = {
        ViewChange: admission.admits_view_change,
        ViewChangeAck: admission.admits_ack,
        NewView: admission.admits_new_view,
        EnteredView: admission.admits_entered_view,
        FetchViewChange: admission.always,
        FetchedViewChange: admission.admits_fetched_view_change,
        StableWord: admission.admits_stable_word,
    }
    keeps_pre_prepared = True

    def leave(self, state: State) -> None:
        view_change.leave(state)

    def answer_view(self, state: State, sender: ReplicaId, message: Status) -> None:
        view_change.answer_view(state, sender, message)

    def stable_proof(self, state: State) -> Hint:
        return StableWord(state.low, state.certified.digest)

    def ask_again(self, state: State) -> None:
        view_change.ask_for_named(state)

    def summary(self, state: State) -> list[Record]:
        unsigned = state.unsigned
        records: list[Record] = []
        if state.active and unsigned.entered is not None:
            records.append(Entered(unsigned.entered))
        if not state.active and unsigned.mine is not None:
            records.append(Left(unsigned.mine))
            if unsigned.announced is not None:
                records.append(Announced(unsigned.announced))
        for position, slot in sorted(state.slots.items()):
            if slot.pre_prepared:
                records.append(PrePrepared(position, tuple(sorted(slot.pre_prepared.items()))))
        return records

    def restore(self, state: State, records: Sequence[Record]) -> None:
        """The last word on views: they come in the order in which they were promised."""
        unsigned = state.unsigned
        for record in records:
            if isinstance(record, Left) and record.message.view > state.view:
                state.view = record.message.view
                state.active = False
                unsigned.mine = record.message
                unsigned.entered = unsigned.announced = None
            elif isinstance(record, Entered) and record.message.view >= state.view:
                state.view = record.message.view
                state.active = True
                unsigned.entered = record.message
                unsigned.announced = None
            elif isinstance(record, Announced) and record.message.view == state.view and not state.active:
                unsigned.announced = record.message

    def restore_slot(self, state: State, record: Record) -> None:
        if isinstance(record, PrePrepared) and state.in_window(record.position):
            slot = state.slot(record.position)
            for digest, view in record.digests:
                slot.note_pre_prepared(view, digest)

    def bind(self, state: State) -> None:
        if state.unsigned.entered is not None:
            view_change.require(state, state.unsigned.entered)

    def promises(self, state: State) -> list[Message]:
        said: list[Message] = []
        if state.unsigned.mine is not None:
            said.append(state.unsigned.mine)
        if state.unsigned.announced is not None:
            said.append(state.unsigned.announced)
        return said


AUTHENTICATORS: Final = Authenticators()
