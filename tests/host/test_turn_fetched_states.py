"""A replica vouches for nothing that follows from a state that it fetched before that state is on its own disk.

Others may forget on its word how to get there; a crash would leave it at its own, older state. The simulator found it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from outvote.core.contract import Core, Delivery, Message, Record, Request, Stable, Standing, Transfer
from outvote.host.inline import InlineClock, Quiet
from outvote.host.turn import Turn
from outvote.host.voice import Voice
from outvote.machines.executor import Executor, Snapshot
from outvote.machines.key_value import Entry, KeyValueStore
from outvote.machines.merkle_image import write_image
from outvote.machines.state_transfer import TRANSFER_MESSAGES, FetchNodes, Server
from outvote.simulator.seals import SealRegistry
from outvote.storage.memory import MemoryDisk
from outvote.types import MILLISECOND, SECOND, ClientId, Digest, Position, ReplicaId, Seal
from outvote.wire.client_messages import ToClient
from outvote.wire.codec import Codec, RecordCodec

CODEC = Codec(TRANSFER_MESSAGES, 0)


class Vouched(Record, frozen=True, tag=1):
    """Never written; a table of records may not be empty."""


class Follower(Core):
    """Fetches what it is told to, keeps it, and notes what it is asked to vouch for."""

    def __init__(self) -> None:
        super().__init__(1)
        self.vouched: list[Position] = []

    def restore(self, position: Position, digest: Digest, records: Sequence[Record]) -> None:
        self.restored = position

    def submit(self, requests: Sequence[Request]) -> None: ...
    def receive(self, sender: ReplicaId, message: Message, seal: Seal) -> None: ...
    def wake(self) -> None: ...

    def summary(self) -> list[Record]:
        return []

    def admits(self, sender: ReplicaId, message: Message) -> bool:
        return False

    def executed(self, position: Position, digest: Digest) -> None:
        self.vouched.append(position)

    def transferred(self, position: Position, digest: Digest) -> None:
        self.out.stable.append(Stable(position, digest))
        self.out.deliveries.append(Delivery(position + 1, 0, (), 0, True))

    def standing(self) -> Standing:
        return Standing(0, True, 0, 0, 0, 0, "")


class BusyDisk(MemoryDisk):
    """Stores snapshots when told."""

    def keep(
        self, position: Position, digest: Digest, snapshot: bytes | Iterable[bytes], head: Sequence[bytes]
    ) -> None:
        super().keep(position, digest, snapshot, head)
        self.kept = 0

    def finish(self, position: Position) -> None:
        self.kept = position


class Source:
    """Replica 0, that has the state; what is sent to it is answered at once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.server = Server()
        self.server.hold(snapshot.position, snapshot.state)
        self.answers: list[bytes] = []

    def send(self, receiver: ReplicaId, body: bytes) -> None:
        message, _ = CODEC.decode(body)
        if receiver == 0 and isinstance(message, FetchNodes):
            self.answers += [CODEC.encode(answer, b"") for answer in self.server.answer(1, message)]

    def answer(self, client: ClientId, message: ToClient) -> None: ...

    def hasten(self) -> None: ...


def state_of_two(keys: int = 0) -> Snapshot:
    store = KeyValueStore()
    executor = Executor(store)
    for key in range(keys):
        store.entries[f"key {key}"] = Entry("value" * 60, key)
    for position in (1, 2):
        executor.deliver(Delivery(position, 0, (), 0, False))
    return executor.checkpoint()


def a_turn(disk: MemoryDisk, source: Source, clock: InlineClock | None = None) -> tuple[Turn, Follower]:
    core, registry = Follower(), SealRegistry(1)
    turn = Turn(
        core, Executor(KeyValueStore()), protocol="follower", codec=CODEC, records=RecordCodec((Vouched,)),
        voice=Voice(1, 4, registry.sealer(1), CODEC, source), opener=registry, disk=disk, clock=clock or InlineClock(),
        observer=Quiet(),
    )
    turn.recover()
    return turn, core


class Listed(Source):
    """Nobody answers; who is asked is noted."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self.asked: list[ReplicaId] = []

    def send(self, receiver: ReplicaId, body: bytes) -> None:
        if isinstance(CODEC.decode(body)[0], FetchNodes):
            self.asked.append(receiver)


def test_a_source_that_is_silent_is_left_after_the_time_that_the_core_gives_it() -> None:
    """It may be fetching that state itself. The simulator found views of 30 ms that changed in vain for two seconds."""
    snapshot, clock = state_of_two(), InlineClock()
    source = Listed(snapshot)
    turn, _ = a_turn(BusyDisk(), source, clock)
    turn.core.out.transfers.append(Transfer(snapshot.position, snapshot.digest, (0, 2), 60 * MILLISECOND))
    turn.run()
    assert source.asked == [0]
    while source.asked == [0]:
        clock.time = max(clock.time + 1, turn.run())
    assert source.asked == [0, 2]
    assert clock.time <= 90 * MILLISECOND, "the first look at the clock, a quarter later, starts the time"


def fetch(turn: Turn, source: Source, snapshot: Snapshot, answers: int = 1000) -> None:
    """Let the turn have so many answers of the source."""
    turn.core.out.transfers.append(Transfer(snapshot.position, snapshot.digest, (0,), 2 * SECOND))
    turn.run()
    while source.answers and answers:
        answers -= 1
        turn.hear(0, source.answers.pop(0))
        turn.run()
    source.answers.clear()


def test_nothing_is_vouched_for_before_the_fetched_state_is_stored() -> None:
    snapshot = state_of_two()
    disk, source = BusyDisk(), Source(snapshot)
    turn, core = a_turn(disk, source)
    fetch(turn, source, snapshot)
    assert turn.executor.position == 3, "fetched, and one position executed on it"
    assert core.vouched == []
    disk.finish(2)
    turn.run()
    assert core.vouched == [2, 3]


def test_a_state_on_the_disk_whose_leaves_are_others_is_not_taken_but_compared() -> None:
    """Its checksum is good, so the disk does not know."""
    snapshot = state_of_two(keys=3000)
    (leaf,) = [leaf for leaf in snapshot.state.leaves() if leaf.key.endswith(b"key 77")]
    disk, source = MemoryDisk(), Source(snapshot)
    disk.keep(2, snapshot.digest, write_image(snapshot.state.update({leaf.key: b"rot"})), [])
    turn, core = a_turn(disk, source)
    assert core.restored == 0
    assert turn.executor.position == 0
    fetch(turn, source, snapshot)
    assert turn.executor.position == 3
    assert 1 <= turn.counters["leaves_fetched"] <= 3


def test_a_fetch_goes_on_after_a_crash_where_it_was() -> None:
    snapshot = state_of_two(keys=3000)
    disk, source = MemoryDisk(), Source(snapshot)
    turn, _ = a_turn(disk, source)
    fetch(turn, source, snapshot, answers=5)
    assert turn.executor.position == 0, "it had only begun"
    disk.reopen()
    again, _ = a_turn(disk, source)
    fetch(again, source, snapshot)
    assert again.executor.position == 3
    assert again.counters["leaves_fetched"] < 2900, "of more than 3000"
    disk.reopen()
    once_more, _ = a_turn(disk, source)
    assert once_more.executor.position == 2
    assert disk.recover().salvage == b""
