"""The HoneyBadgerBFT core: dispatch by message type and what is admitted. No timer wakes it: `wake` does nothing.

`core/patience.py` wraps it where channels may lose messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from outvote.core.checkpoints import Checkpoint
from outvote.core.committee import Committee
from outvote.core.contract import NOBODY, Job, Message, Record, Request, Standing
from outvote.core.patience import Timeless
from outvote.protocols.honeybadger import catch_up, checkpoint, jobs, ordering, restore, turnover
from outvote.protocols.honeybadger.config import HoneyBadgerConfig
from outvote.protocols.honeybadger.keys import Keys
from outvote.protocols.honeybadger.membership import CHANGES_MAX
from outvote.protocols.honeybadger.messages import (
    Agreeing,
    Broadcasting,
    Decided,
    Decrypting,
    Lacking,
    StableProof,
)
from outvote.protocols.honeybadger.state import State
from outvote.types import ClientId, Digest, Position, ReplicaId, Seal

CHANGE_MEMBERS: Final = "change-members"
OPERATIONS: Final = (CHANGE_MEMBERS,)  # that `operate` knows
DECIDED_AHEAD = 8  # epochs behind the last delivered one of which outputs are taken in: one answer


class HoneyBadgerReplica(Timeless):
    """One replica of HoneyBadgerBFT."""

    question: ClassVar[type[Message]] = Lacking
    obeys_its_owner = True

    def __init__(self, me: ReplicaId, committee: Committee, config: HoneyBadgerConfig, keys: Keys) -> None:
        super().__init__(me)
        self.hands_out_jobs = keys.deferred
        self.state = State(me, committee, config.validated(), keys, self.out)

    def restore(self, position: Position, digest: Digest, records: Sequence[Record]) -> None:
        restore.restore(self.state, position, digest, records)
        self._settle()

    def summary(self) -> list[Record]:
        return restore.summary(self.state)

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self.state.pool.add(request)
        self._settle()

    def room(self, client: ClientId) -> int:
        return self.state.pool.room(client)

    def admits(self, sender: ReplicaId, message: Message) -> bool:
        state = self.state
        if isinstance(message, Broadcasting | Agreeing | Decrypting):
            member = state.members.place(sender) is not None
            return member and state.in_play(message.epoch) and state.members.committee.holds(message.proposer)
        if isinstance(message, turnover.ABOUT_MEMBERS):
            return turnover.admits(state, sender, message)
        if isinstance(message, Checkpoint):
            return self._admits_checkpoint(sender, message)
        if isinstance(message, Decided):
            near = max(state.delivered, state.low) < message.epoch <= min(state.high, state.delivered + DECIDED_AHEAD)
            votes = state.told.get(message.epoch)
            near = near and state.members.place(sender) is not None
            return near and message.epoch not in state.decided and (votes is None or not votes.has(sender))
        if isinstance(message, StableProof):
            proof = message.certificate
            short = len(message.links) <= CHANGES_MAX and all(
                len(one.seals) <= state.committee.n for one in (proof, *message.links)
            )
            return proof.position > state.low and short
        return isinstance(message, Lacking)

    def _admits_checkpoint(self, sender: ReplicaId, message: Checkpoint) -> bool:
        state = self.state
        proper = state.is_checkpoint(message.position)
        return proper and state.checkpoint_votes.admits(sender, message, state.low, state.high)

    def receive(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        state = self.state
        if not self.admits(sender, message):  # again: the state may have moved on
            return
        if isinstance(message, Broadcasting | Agreeing | Decrypting):
            before = state.stage(message.epoch)
            ordering.on_working(state, sender, message)
            if state.stage(message.epoch) == before:
                return  # as mostly: nothing to deliver, and no more reason to propose than there was
        elif isinstance(message, turnover.ABOUT_MEMBERS):
            turnover.receive(state, sender, message)
        elif isinstance(message, Checkpoint):
            checkpoint.on_checkpoint(state, sender, message, seal)
        elif isinstance(message, Lacking):
            catch_up.on_lacking(state, sender, message)
        elif isinstance(message, Decided):
            catch_up.on_decided(state, sender, message)
        elif isinstance(message, StableProof):
            checkpoint.on_stable_proof(state, sender, message)
        self._settle()

    def wake(self) -> None:
        """Never asked for."""

    def executed(self, position: Position, digest: Digest) -> None:
        checkpoint.executed(self.state, position, digest)
        self._settle()

    def computed(self, ticket: int, answer: bytes) -> None:
        ordering.on_computed(self.state, ticket, answer)
        self._settle()

    def operate(self, what: str, argument: int) -> str:
        """change-members: bit i, our owner wishes replica i to be a member."""
        if what != CHANGE_MEMBERS:
            return super().operate(what, argument)
        refusal = turnover.wish(self.state, argument)
        self._settle()
        return refusal

    def compute(self, job: Job) -> bytes:
        keys = self.state.keys
        if not job.work.startswith(jobs.LATER):
            return jobs.compute(keys.coin, keys.encryption, job)
        assert keys.shares is not None, "who has no shares changes no members"
        coin, encryption = keys.shares.keys_from(job.parts[0])
        work = Job(job.ticket, job.work.removeprefix(jobs.LATER), job.parts[1:], job.who)
        return jobs.compute(coin, encryption, work)

    def waiting(self) -> Sequence[tuple[ClientId, int]]:
        return [request.key for request in self.state.pool.waiting()]

    def forget(self, requests: Sequence[tuple[ClientId, int]]) -> None:
        self.state.pool.forget(requests)

    def transferred(self, position: Position, digest: Digest) -> None:
        checkpoint.transferred(self.state, position, digest)
        self._settle()

    def standing(self) -> Standing:
        state = self.state
        if state.fetching is not None:
            note = f"fetching the state of position {state.fetching.position}"
        else:
            note = f"epoch {state.delivered + 1}" if state.delivered + 1 in state.epochs else "idle"
        era, roster = state.members.era, state.roster
        members = era.members if len(era.members) < state.committee.n or era.number else ()
        changing = roster.change is not None or roster.next is not None
        note += turnover.note(state)
        return Standing(
            0, True, NOBODY, state.delivered, state.low, len(state.pool), note, members, changing=changing
        )

    def unfinished(self) -> bool:
        state = self.state
        begun = any(number > state.delivered for number in state.epochs)
        behind = state.fetching is not None or state.ahead is not None or state.told
        return bool(len(state.pool) or begun or behind or turnover.unfinished(state))

    def heard(self) -> int:
        state = self.state
        return turnover.come_far(state) if turnover.lacks(state) else state.heard

    def ask(self) -> None:
        catch_up.ask(self.state)

    def _settle(self) -> None:
        state = self.state
        state.wall = self.wall
        genuine = ordering.Genuine(state, self.genuine)
        ordering.open_outputs(state, genuine)
        before = -1
        while before != state.delivered:
            before = state.delivered
            ordering.try_propose(state, genuine)
