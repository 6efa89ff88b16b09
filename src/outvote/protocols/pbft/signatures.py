"""The form with signatures: certificates of other replicas' seals are shown and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from outvote.core.contract import Hint, Message, Record
from outvote.protocols.pbft import admission, catch_up, checkpoint, restore, view_change
from outvote.protocols.pbft.form import Form, Handlers, Questions
from outvote.protocols.pbft.messages import NewView, NewViewProof, StableProof, Status, ViewChange
from outvote.protocols.pbft.state import State
from outvote.types import ReplicaId


class Signatures(Form):
    """Sections 4.3 and 4.4 of the paper of 1999."""

    handlers: ClassVar[Handlers] = {
        ViewChange: view_change.on_view_change,
        NewView: view_change.on_new_view,
        NewViewProof: view_change.on_new_view_proof,
        StableProof: checkpoint.on_stable_proof,
    }
    admits: ClassVar[Questions] = {
        ViewChange: admission.admits_view_change,
        NewView: admission.admits_new_view,
        NewViewProof: admission.admits_new_view_proof,
        StableProof: admission.admits_stable_proof,
    }
    keeps_pre_prepared = False

    def leave(self, state: State) -> None:
        view_change.leave(state)

    def answer_view(self, state: State, sender: ReplicaId, message: Status) -> None:
        catch_up.answer_view(state, sender, message)

    def stable_proof(self, state: State) -> Hint:
        return StableProof(state.certified)

    def ask_again(self, state: State) -> None:
        """Nothing: whoever answers a STATUS sends proofs along."""

    def summary(self, state: State) -> list[Record]:
        return restore.summary_of_views(state)

    def restore(self, state: State, records: Sequence[Record]) -> None:
        restore.restore_view(state, records)

    def bind(self, state: State) -> None:
        if state.new_view is not None:
            view_change.require(state, state.new_view[0])

    def promises(self, state: State) -> list[Message]:
        said: list[Message] = []
        if state.my_view_change is not None:
            said.append(state.my_view_change)
        if state.announced is not None:
            said.append(state.announced)
        return said


SIGNATURES: Final = Signatures()
