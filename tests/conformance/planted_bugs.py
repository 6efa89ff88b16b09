"""Bugs for the simulator to find: each turns off one rule of the replica, for the length of one test.

A bug is planted by replacing a function or a name where it is looked up. `FOUND_BY_RUNS` is the table of those that
the swarm finds by itself; the others are left to scripts, see test_planted_bugs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest

from outvote.client import session
from outvote.core.certificates import Seals
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Delivery, Message, Record, digest_of
from outvote.core.tally import Tally
from outvote.host.turn import Turn
from outvote.machines.executor import Executor
from outvote.machines.sessions import Sessions
from outvote.machines.state_transfer import Fetcher, Manifest, Part
from outvote.protocols.pbft import admission, catch_up, checkpoint, normal, restore, view_change
from outvote.protocols.pbft import replica as pbft_replica
from outvote.protocols.pbft.messages import (
    Checkpoint,
    CheckpointCertificate,
    Commit,
    Decided,
    Decision,
    FetchBatch,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    SealedViewChange,
    ViewChange,
)
from outvote.protocols.pbft.records import Accepted, Announced, Certified, Committed, Entered, Left, Prepared
from outvote.protocols.pbft.replica import PbftReplica
from outvote.protocols.pbft.slot import Slot
from outvote.protocols.pbft.state import State
from outvote.types import Digest, Position, ReplicaId, Seal
from outvote.wire.client_messages import ReplyStatement

Patch = Any  # a function of a MonkeyPatch, with a name
Handler = Callable[[State, ReplicaId, Any, Seal], None]


class PlantedBug(NamedTuple):
    """A rule turned off. `found_by` are invariants of the simulator, of which one must break."""

    plant: Patch
    found_by: tuple[str, ...]
    start: int  # the first seed to try: the rare ones would take too long from 0 on
    survey: int  # the first seed from `start` on that found it, when this table was made

    @property
    def name(self) -> str:
        return str(self.plant.__name__)


def handle(patch: pytest.MonkeyPatch, kind: type[Message], handler: Handler) -> None:
    patch.setitem(pbft_replica.HANDLERS, kind, handler)


# ---------------------------------------------------------------------- normal case


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


# ---------------------------------------------------------------------- checkpoints


def checkpoint_stable_with_weak_quorum(patch: pytest.MonkeyPatch) -> None:
    def on_checkpoint(state: State, sender: ReplicaId, message: Checkpoint, seal: Seal) -> None:
        weak = state.committee.weak
        votes = state.checkpoint_votes.setdefault(message.position, Tally())
        if votes.add(sender, message.digest, seal) and votes.count(message.digest) >= weak:
            seals = votes.seals(message.digest, weak)
            checkpoint.learn(state, CheckpointCertificate(message.position, message.digest, seals))

    handle(patch, Checkpoint, on_checkpoint)


def own_checkpoint_is_stable(patch: pytest.MonkeyPatch) -> None:
    """Garbage is collected behind one's own checkpoint."""
    original = checkpoint.executed

    def executed(state: State, position: Position, digest: Digest) -> None:
        original(state, position, digest)
        if position > state.low:
            checkpoint.make_stable(state, CheckpointCertificate(position, digest, ()))

    patch.setattr(checkpoint, "executed", executed)


def high_watermark_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "in_window", lambda state, position: position > state.low)


def parts_unverified(patch: pytest.MonkeyPatch) -> None:
    """State transfer takes any part that it is given."""

    def take(fetcher: Fetcher, sender: ReplicaId, part: Part, manifest: Manifest) -> None:
        fetcher._parts.setdefault(part.index, part.data)
        fetcher._asked.pop(part.index, None)
        fetcher._finish(manifest)

    patch.setattr(Fetcher, "_take_part", take)


def manifest_unverified(patch: pytest.MonkeyPatch) -> None:
    def take(fetcher: Fetcher, sender: ReplicaId, manifest: Manifest) -> None:
        fetcher._manifest = manifest
        fetcher._asked.clear()
        fetcher._missing = list(range(len(manifest.parts) - 1, -1, -1))
        fetcher._finish(manifest)

    patch.setattr(Fetcher, "_take_manifest", take)


# ---------------------------------------------------------------------- view changes


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
        return not state.active and admission.view_of(message) == state.view - 1

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


# ---------------------------------------------------------------------- durability


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
            _, receiver, message = turn._parked.popleft()
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


# ---------------------------------------------------------------------- host, machine, client


def seals_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Turn, "_genuine", lambda turn, sender, message, seal, claims: True)


def claims_unchecked(patch: pytest.MonkeyPatch) -> None:
    """The sender's own seal is checked, those that it quotes are not."""

    def genuine(turn: Turn, sender: ReplicaId, message: Message, seal: Seal, claims: Sequence[Claim]) -> bool:
        return not message.sealed or turn._opener.opens(Claim(sender, message.statement(), seal))

    patch.setattr(Turn, "_genuine", genuine)


def executed_again(patch: pytest.MonkeyPatch) -> None:
    """The client table is not consulted."""
    patch.setattr(Sessions, "executable", lambda sessions, request: True)


def client_table_not_in_state(patch: pytest.MonkeyPatch) -> None:
    """A replica that fetched the state knows of no request that was executed before."""
    original = Executor.install

    def install(executor: Executor, data: bytes) -> None:
        original(executor, data)
        executor._sessions = Sessions()

    patch.setattr(Executor, "install", install)


def history_not_in_state(patch: pytest.MonkeyPatch) -> None:
    original = Executor.install

    def install(executor: Executor, data: bytes) -> None:
        history = executor.history
        original(executor, data)
        executor.history = history

    patch.setattr(Executor, "install", install)


def client_believes_one(patch: pytest.MonkeyPatch) -> None:
    original = Committee

    def init(client: session.Session, *arguments: Any) -> None:
        first_init(client, *arguments)
        lenient = original(client.committee.n)
        lenient.weak -= 1
        client.committee = lenient

    first_init = session.Session.__init__
    patch.setattr(session.Session, "__init__", init)


def executed_in_reverse_at_odd_replicas(patch: pytest.MonkeyPatch) -> None:
    """The order within a batch depends on the replica."""
    original = Executor.deliver

    def deliver(executor: Executor, delivery: Delivery) -> list[ReplyStatement]:
        if executor._replica.me % 2:  # type: ignore[attr-defined]
            delivery = msgspec.structs.replace(delivery, requests=delivery.requests[::-1])
        return original(executor, delivery)

    patch.setattr(Executor, "deliver", deliver)




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


SAFETY = ("agreement", "prefix order", "history digest", "state digest", "linearizability", "exactly-once", "validity")
PROOF = ("certificate", "no false lies")
ASSERTED = ("exception",)  # an assertion of the replica itself

FOUND_BY_RUNS: Sequence[PlantedBug] = (
    PlantedBug(prepared_with_one_less, PROOF, 0, 0),
    PlantedBug(committed_with_one_less, PROOF, 0, 0),
    PlantedBug(committed_when_prepared, PROOF, 0, 0),
    PlantedBug(prepares_counted_without_digest, PROOF, 0, 0),
    PlantedBug(commits_counted_without_digest, PROOF, 0, 0),
    PlantedBug(primary_prepare_counted, PROOF, 0, 9),
    PlantedBug(second_proposal_overwrites, ("double signature",), 25, 31),
    PlantedBug(proposals_from_anybody, PROOF, 0, 22),
    PlantedBug(one_word_decides, PROOF, 0, 0),
    PlantedBug(told_counted_without_digest, PROOF, 0, 12),
    PlantedBug(checkpoint_stable_with_weak_quorum, PROOF, 0, 0),
    PlantedBug(own_checkpoint_is_stable, ASSERTED, 0, 0),
    PlantedBug(high_watermark_ignored, ASSERTED, 0, 2),
    PlantedBug(new_view_from_one_less, PROOF, 0, 0),
    PlantedBug(new_view_for_any_view_change, PROOF, 0, 0),
    PlantedBug(view_change_without_prepared, SAFETY, 0, 1),
    PlantedBug(prepared_forgotten_in_new_view, SAFETY, 0, 11),
    PlantedBug(old_view_goes_on, PROOF, 0, 0),
    PlantedBug(no_view_timer, ("liveness",), 0, 3),
    PlantedBug(no_timer_while_changing, ("liveness",), 0, 3),
    PlantedBug(no_status, ("liveness",), 0, 8),
    PlantedBug(sent_before_synced, ("double signature",), 0, 31),
    PlantedBug(accepted_not_recorded, ("double signature",), 0, 3),
    PlantedBug(prepared_not_recorded, SAFETY, 0, 12),
    PlantedBug(left_not_recorded, ("monotonic", "double signature"), 0, 3),
    PlantedBug(entered_not_recorded, ("monotonic", "double signature"), 0, 16),
    PlantedBug(announced_not_recorded, ("double signature",), 125, 143),
    PlantedBug(summary_without_accepted, ("double signature",), 1290, 1298),
    PlantedBug(summary_without_entered, ("monotonic", "double signature"), 25, 32),
    PlantedBug(seals_unchecked, PROOF, 0, 5),
    PlantedBug(executed_again, SAFETY, 0, 16),
    PlantedBug(client_table_not_in_state, SAFETY, 0, 21),
    PlantedBug(history_not_in_state, SAFETY, 0, 2),
    PlantedBug(parts_unverified, (*SAFETY, *ASSERTED), 60, 210),
    PlantedBug(client_believes_one, SAFETY, 65, 70),
    PlantedBug(executed_in_reverse_at_odd_replicas, SAFETY, 0, 2),
    PlantedBug(proposals_of_new_view_believed, SAFETY, 0, 9),
)
