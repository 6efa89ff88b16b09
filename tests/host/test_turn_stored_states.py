"""A state in a store, seen from the turn: taken over, fetched in parts, found damaged and mended."""

from __future__ import annotations

import msgspec
import pytest
from test_turn_fetched_states import CODEC, Follower, Source, Vouched, fetch

from outvote import StateMachine, command
from outvote.core.contract import Delivery
from outvote.core.node_store import MemoryNodes
from outvote.host.inline import InlineClock, Quiet
from outvote.host.turn import Turn
from outvote.host.voice import Voice
from outvote.machines.executor import Executor, Snapshot
from outvote.simulator.seals import SealRegistry
from outvote.storage.memory import MemoryDisk
from outvote.wire.codec import RecordCodec

KEYS = 3000


class Texts(StateMachine, stored=("texts",)):
    texts: dict[str, str] = msgspec.field(default_factory=dict)

    @command
    def put(self, name: str, text: str) -> None:
        self.texts[name] = text


def a_state(mark: str = "") -> Snapshot:
    executor = Executor(Texts())
    executor.machine.texts.update({f"key {key}": f"text {key}{mark}" * 30 for key in range(KEYS)})  # type: ignore[attr-defined]
    for position in (1, 2):
        executor.deliver(Delivery(position, 0, (), 0, False))
    return executor.checkpoint()


class StoringDisk(MemoryDisk):
    def __init__(self) -> None:
        super().__init__()
        self.store = self.nodes = MemoryNodes()

    def reopen(self) -> None:
        store = self.store
        super().reopen()
        self.store = self.nodes = store

    @property
    def snapshot(self) -> bytes:
        return self._snapshot


def a_turn(disk: StoringDisk, source: Source) -> tuple[Turn, Follower]:
    core, registry = Follower(), SealRegistry(1)
    turn = Turn(
        core, Executor(Texts()), protocol="follower", codec=CODEC, records=RecordCodec((Vouched,)),
        voice=Voice(1, 4, registry.sealer(1), CODEC, source), opener=registry, disk=disk, clock=InlineClock(),
        observer=Quiet(),
    )
    turn.recover()
    return turn, core


def test_it_is_fetched_into_the_store_and_taken_over_from_there() -> None:
    snapshot = a_state()
    disk, source = StoringDisk(), Source(snapshot)
    turn, _ = a_turn(disk, source)
    fetch(turn, source, snapshot)
    assert turn.executor.position == 3
    assert turn.executor.machine.texts["key 7"] == "text 7" * 30  # type: ignore[attr-defined]
    assert len(disk.snapshot) < 200, "a pointer, not an image"
    disk.reopen()
    again, core = a_turn(disk, source)
    assert (again.executor.position, core.restored) == (2, 2)
    assert again.executor.saved == snapshot.state
    assert again.executor.saved.root is not None
    assert again.executor.saved.root.held is None, "nothing of it is in memory"
    assert again.executor.machine.texts["key 7"] == "text 7" * 30  # type: ignore[attr-defined]
    assert "states_fetched" not in again.counters


def test_a_fetch_goes_on_after_a_crash_with_what_is_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outvote.host.keeping.ASIDE_BYTES", 50_000)
    snapshot = a_state()
    disk, source = StoringDisk(), Source(snapshot)
    turn, _ = a_turn(disk, source)
    fetch(turn, source, snapshot, answers=5)
    assert turn.executor.position == 0, "it had only begun"
    written = len(disk.store.nodes)
    assert written > 10
    disk.reopen()
    again, _ = a_turn(disk, source)
    assert len(disk.store.nodes) == written, "nothing of it was forgotten"
    fetch(again, source, snapshot)
    assert again.executor.position == 3
    assert again.counters["leaves_fetched"] < KEYS - 100
    disk.reopen()
    assert a_turn(disk, source)[0].executor.saved == snapshot.state


def test_damaged_nodes_are_found_at_the_start_and_only_those_are_fetched() -> None:
    snapshot = a_state()
    disk, source = StoringDisk(), Source(snapshot)
    turn, _ = a_turn(disk, source)
    fetch(turn, source, snapshot)
    disk.reopen()
    for place, data in list(disk.store.nodes.items())[20:22]:
        assert data[:1] == b"b"
        disk.store.nodes[place] = data[:-1] + bytes([data[-1] ^ 1])
    again, core = a_turn(disk, source)
    assert core.restored == 0
    fetch(again, source, snapshot)
    assert again.executor.position == 3
    assert 2 <= again.counters["leaves_fetched"] <= 2 * 64
    disk.reopen()
    assert a_turn(disk, source)[0].executor.saved == snapshot.state


def test_a_store_that_is_gone_is_fetched_anew() -> None:
    snapshot = a_state()
    disk, source = StoringDisk(), Source(snapshot)
    turn, _ = a_turn(disk, source)
    fetch(turn, source, snapshot)
    disk.reopen()
    disk.store.clear()
    again, core = a_turn(disk, source)
    assert core.restored == 0
    fetch(again, source, snapshot)
    assert again.counters["leaves_fetched"] >= KEYS
    disk.reopen()
    assert a_turn(disk, source)[0].executor.saved == snapshot.state
