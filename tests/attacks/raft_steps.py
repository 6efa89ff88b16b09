"""Raft cores in one hand: the test says who hears what and when; disks are as fast as thought, and crashes as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from outvote.core.committee import Committee
from outvote.core.contract import ALL, Delivery, Message, Record, Request
from outvote.protocols.catalogue import protocol
from outvote.protocols.raft.config import RaftConfig
from outvote.protocols.raft.replica import RaftReplica
from outvote.protocols.raft.state import State
from outvote.types import FIRST_CLIENT, SECOND, Digest, Position, ReplicaId

RAFT: Final = protocol("raft")
Letter = tuple[ReplicaId, ReplicaId, Message]  # from, to, what


class Steps:
    """n replicas; nothing moves but by `hear`, `settle`, `elect` and `pass_time`."""

    def __init__(self, n: int, **parameters: int) -> None:
        self.n = n
        self.parameters = parameters
        self.now = SECOND
        self.letters: list[Letter] = []
        self.disks: list[list[Record]] = [[] for _ in range(n)]
        self.kept: list[tuple[Position, Digest]] = [(0, b"")] * n
        self.delivered: list[list[Delivery]] = [[] for _ in range(n)]
        self.cores = [self._make(me) for me in range(n)]
        for me in range(n):
            self.drain(me)

    def _make(self, me: ReplicaId) -> RaftReplica:
        core = RAFT.make(me, Committee(self.n, "crashes"), self.parameters)
        assert isinstance(core, RaftReplica)
        core.now = core.wall = self.now
        core.restore(*self.kept[me], self.disks[me])
        core.state.timers.cancel("election")
        return core

    def state(self, me: ReplicaId) -> State:
        return self.cores[me].state

    def drain(self, me: ReplicaId) -> None:
        """What it said goes to the letters; what it says to itself it hears at once, since its disk has it."""
        core, out = self.cores[me], self.cores[me].out
        while out.waits():
            self.disks[me] += out.records
            said: list[tuple[ReplicaId, Message]] = [*out.hints, *out.messages]
            executed = [one for one in out.deliveries if one.checkpoint]
            self.delivered[me] += out.deliveries
            for stable in out.stable:
                self.kept[me] = (stable.position, stable.digest)
                self.disks[me] = core.summary()
            out.clear()
            for one in executed:
                core.executed(one.position, b"%032d" % one.position)
            for receiver, message in said:
                if receiver == me:
                    core.receive(me, message, b"")
                else:
                    others = range(self.n) if receiver == ALL else (receiver,)
                    self.letters += [(me, other, message) for other in others if other != me]

    def hear(self, letter: Letter) -> None:
        sender, receiver, message = letter
        core = self.cores[receiver]
        core.now = core.wall = self.now
        core.receive(sender, message, b"")
        self.drain(receiver)

    def take(self, kind: type[Message], *to: ReplicaId) -> list[Letter]:
        """Letters of a kind, out of the post."""
        taken = [one for one in self.letters if isinstance(one[2], kind) and (not to or one[1] in to)]
        self.letters = [one for one in self.letters if one not in taken]
        return taken

    def settle(self, among: Sequence[ReplicaId] | None = None, hold: Callable[[Letter], bool] | None = None) -> None:
        """Deliver everything between these, and lose the rest; what `hold` picks out stays in the post."""
        held: list[Letter] = []
        for _ in range(10_000):
            if not self.letters:
                break
            letter = self.letters.pop(0)
            if hold is not None and hold(letter):
                held.append(letter)
            elif among is None or (letter[0] in among and letter[1] in among):
                self.hear(letter)
        self.letters = held

    def pass_time(self, nanos: int, *who: ReplicaId) -> None:
        """Clocks go on; whose timers are due act."""
        self.now += nanos
        for me in who or range(self.n):
            core = self.cores[me]
            core.now = core.wall = self.now
            if core.wake_at <= self.now:
                core.wake()
            self.drain(me)

    def time_out(self, me: ReplicaId) -> None:
        """It has heard of no leader for too long; the others neither."""
        self.now += 4 * SECOND
        if self.state(me).leads:  # it has been deposed, perhaps, and does not know it
            self.crash(me)
            self.now += 4 * SECOND
        core = self.cores[me]
        core.now = core.wall = self.now
        core.state.timers.set("election", self.now)
        core.wake()
        self.drain(me)

    def elect(self, me: ReplicaId, voters: Sequence[ReplicaId] | None = None) -> None:
        """It becomes the leader by the votes of these; whatever it sends as such is held."""
        for _ in range(3):  # its term may have been another's
            self.time_out(me)
            self.settle(voters, hold=lambda letter: self.state(me).leads and letter[0] == me)
            if self.state(me).leads:
                break
        assert self.state(me).leads, f"{me} was not elected: {self.state(me).role}"

    def crash(self, me: ReplicaId) -> None:
        """And start again from the disk. Letters from it are on their way still."""
        self.delivered[me] = []
        self.cores[me] = self._make(me)
        self.drain(me)

    def submit(self, me: ReplicaId, number: int) -> None:
        core = self.cores[me]
        core.now = core.wall = self.now
        core.submit([Request(FIRST_CLIENT, number, 0, (b"%d" % number,), b"")])
        self.drain(me)

    def executed(self, me: ReplicaId) -> list[int]:
        """Numbers of the requests that it has delivered."""
        return [request.number for one in self.delivered[me] for request in one.requests]


TIMEOUT: Final = RaftConfig().view_timeout_ns
