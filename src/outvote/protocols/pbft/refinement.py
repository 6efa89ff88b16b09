"""Maps what replicas really say onto the specification: each statement must be a step that it allows.

Every position is one slot of the model. What has happened to all of them alike, the view changes, is kept once, in
the slot of a position that nobody has used yet; a new position begins with it.

Kept: a position is followed by each replica until it, or a view that it enters, stands on a checkpoint at or above
it; from there on the checkpoint's certificate speaks, and the model has none. A null batch is a value that a view may
be bound to where the model is bound to nothing, which allows it anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outvote.core.committee import Committee
from outvote.core.contract import Struct
from outvote.protocols.pbft.messages import (
    NULL_DIGEST,
    Commit,
    NewView,
    Prepare,
    ProposalStatement,
    ViewChange,
)
from outvote.protocols.pbft.specification import FREE, Action, Certificate, Rules, Specification, State, Value
from outvote.types import Digest, Position, ReplicaId, View

UNUSED: Final[Position] = 0  # stands for every position that no replica has used yet


class Refused(Exception):
    """A correct replica did what the specification does not allow; the argument says who, what and where."""


class Refinement:
    """Follows one cluster from its first view. `traitors` may grow; what they say is not looked at."""

    def __init__(self, committee: Committee, traitors: tuple[ReplicaId, ...], views_max: int = 64) -> None:
        leaders = [committee.leader(view) for view in range(views_max)]
        self._specification = Specification(leaders, traitors, Rules(quorum=committee.quorum), committee.n)
        self._slots: dict[Position, State] = {UNUSED: self._specification.initial}
        self._gone: dict[ReplicaId, Position] = {}  # up to which checkpoint a replica's past speaks for itself
        self._entered: dict[tuple[ReplicaId, View], NewView] = {}  # recorded, taken up with the first vote there
        self._delivered: dict[Position, Value] = {}
        self.steps = 0

    def betray(self, replica: ReplicaId) -> None:
        """From now on it lies: nothing is asked of it, and its seal may stand under anything."""
        for position, state in self._slots.items():
            places = state.replicas
            self._slots[position] = state._replace(replicas=(*places[:replica], None, *places[replica + 1 :]))

    def enters(self, replica: ReplicaId, message: NewView) -> None:
        """It wrote down that it accepts this NEW-VIEW. A crash may take that back, so it counts with its first vote."""
        self._entered[replica, message.view] = message

    def says(self, replica: ReplicaId, statement: Struct) -> None:
        """Raises Refused unless the specification allows it, perhaps behind steps of its own that nobody heard of."""
        if isinstance(statement, ProposalStatement):
            self._vote("PRE-PREPARE", replica, statement.view, statement.position, statement.digest)
        elif isinstance(statement, Prepare):
            self._vote("PREPARE", replica, statement.view, statement.position, statement.digest)
        elif isinstance(statement, Commit):
            self._commit(replica, statement.view, statement.position, statement.digest.hex())
        elif isinstance(statement, ViewChange):
            self._leave(replica, statement)
        elif isinstance(statement, NewView):
            self._begin(replica, statement, "NEW-VIEW")

    def delivers(self, replica: ReplicaId, position: Position, digest: Digest) -> None:
        """Raises Refused unless this is committed: now, or when somebody delivered it first."""
        values = [value for _, value in self._specification.committed(self._slots.get(position, self._slots[UNUSED]))]
        values += [self._delivered[position]] if position in self._delivered else []
        if digest.hex() not in values:
            said = f"{values[0][:4]} is committed" if values else "nothing is committed"
            raise Refused(f"position {position}: {replica} delivers {digest.hex()[:4]}, but {said}")
        self._delivered[position] = digest.hex()

    # ------------------------------------------------------------------ votes

    def _vote(self, name: str, replica: ReplicaId, view: View, position: Position, digest: Digest) -> None:
        if self._is_gone(replica, position):
            return
        self._catch_up(replica, view)
        standing = self._slot(position).replicas[replica]
        if standing is not None and standing.votes[view] != digest.hex():
            self._step(position, Action(name, replica, view, digest.hex()))

    def _commit(self, replica: ReplicaId, view: View, position: Position, value: Value) -> None:
        if self._is_gone(replica, position):
            return
        self._catch_up(replica, view)
        standing = self._slot(position).replicas[replica]
        if standing is not None and standing.commits[view] != value:
            if not standing.votes[view]:
                leads = self._specification.leaders[view] == replica
                self._step(position, Action("PRE-PREPARE" if leads else "PREPARE", replica, view, value))
            self._step(position, Action("COMMIT", replica, view, value))

    def _catch_up(self, replica: ReplicaId, view: View) -> None:
        """Take up the NEW-VIEW that a vote in this view stands on."""
        standing = self._slots[UNUSED].replicas[replica]
        message = self._entered.get((replica, view))
        if standing is None or message is None or (standing.active and standing.view >= view):
            return
        if standing.view <= view:
            self._begin(replica, message, "ENTER")

    # ------------------------------------------------------------------ view changes

    def _leave(self, replica: ReplicaId, message: ViewChange) -> None:
        standing = self._slots[UNUSED].replicas[replica]
        if standing is None:
            return
        shown = {one.position: (one.view, one.digest.hex()) for one in message.prepared}
        if not standing.changes[message.view]:
            self._forget(replica, message.stable.position)
        for position in (*shown, *self._slots):
            if position == UNUSED or self._is_gone(replica, position):
                continue
            certificate = shown.get(position)
            before = self._slot(position).replicas[replica]
            if certificate is not None and before is not None and not before.commits[certificate[0]]:
                self._commit(replica, certificate[0], position, certificate[1])  # a crash kept the others from hearing
            now = self._slot(position).replicas[replica]
            if now is not None and self._specification.shown(now, message.view) != certificate:
                expected = self._specification.shown(now, message.view)
                raise Refused(
                    f"position {position}: {replica} shows {_told(certificate)} in its VIEW-CHANGE to {message.view},"
                    f" and {_told(expected)} follows from its COMMITs"
                )
        if not standing.changes[message.view]:
            self._step_all(replica, {}, Action("VIEW-CHANGE", replica, message.view))

    def _begin(self, replica: ReplicaId, message: NewView, name: str) -> None:
        """NEW-VIEW and what it makes of every position; said by the primary, or believed by a backup."""
        view = message.view
        standing = self._slots[UNUSED].replicas[replica]
        if standing is None or (name == "NEW-VIEW" and standing.view == view and standing.active):
            return
        changes = [one.message for one in message.view_changes]
        stable = max((one.stable.position for one in changes), default=0)
        self._forget(replica, stable)
        proposed = dict(message.proposals)
        bound: dict[Position, Value] = {}
        for position in self._slots:
            if self._is_gone(replica, position):
                continue
            shown: list[Certificate | None] = []
            for quoted in message.view_changes:
                held = [one for one in quoted.message.prepared if one.position == position]
                certificate = (held[0].view, held[0].digest.hex()) if held else None
                self._believe(position, quoted.sender, view, certificate)
                shown.append(certificate)
            bound[position] = self._specification.chosen(shown)
            digest = proposed.get(position, NULL_DIGEST)
            if digest.hex() != (bound[position] or NULL_DIGEST.hex()):
                raise Refused(
                    f"position {position}: {replica} has {digest.hex()[:4]} in O of view {view}, and"
                    f" {bound[position][:4] or 'null'} follows"
                )
        quorum = self._specification.rules.quorum
        if len({one.sender for one in message.view_changes}) < quorum:
            raise Refused(f"{replica} begins view {view} with less than {quorum} VIEW-CHANGEs")
        leads = self._specification.leaders[view] == replica
        self._step_all(replica, bound, Action("NEW-VIEW" if leads else name, replica, view))

    def _believe(self, position: Position, sender: ReplicaId, view: View, shown: Certificate | None) -> None:
        """Whether this sender can have shown this."""
        state = self._slots[position]
        party = state.replicas[sender]
        if party is None:
            possible = shown in self._specification.showable(state, view)
        elif self._is_gone(sender, position):
            return
        else:
            possible = party.changes[view] and self._specification.shown(party, view) == shown
        if not possible:
            raise Refused(f"position {position}: nobody has heard {sender} show {_told(shown)} to view {view}")

    # ------------------------------------------------------------------ slots

    def _slot(self, position: Position) -> State:
        if position not in self._slots:
            self._slots[position] = self._slots[UNUSED]
        return self._slots[position]

    def _is_gone(self, replica: ReplicaId, position: Position) -> bool:
        return 0 < position <= self._gone.get(replica, 0)

    def _forget(self, replica: ReplicaId, position: Position) -> None:
        self._gone[replica] = max(position, self._gone.get(replica, 0))
        left = min(
            self._gone.get(one, 0) for one, party in enumerate(self._slots[UNUSED].replicas) if party is not None
        )
        self._slots = {one: state for one, state in self._slots.items() if one == UNUSED or one > left}

    def _step_all(self, replica: ReplicaId, values: Mapping[Position, Value], action: Action) -> None:
        for position in self._slots:
            if not self._is_gone(replica, position):
                self._step(position, action._replace(value=values.get(position, FREE)))

    def _step(self, position: Position, action: Action) -> None:
        after = self._specification.step(self._slot(position), action)
        if after is None:
            where = f"position {position}" if position else "every position"
            raise Refused(f"{where}: {action} is no step of the specification")
        self._slots[position] = after
        self.steps += 1


def _told(certificate: Certificate | None) -> str:
    return "nothing" if certificate is None else f"{certificate[1][:4]} of view {certificate[0]}"
