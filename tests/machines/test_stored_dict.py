"""A stored dict is a dict: the same answers and the same digests as in memory, whenever checkpoints are taken."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote import StateMachine, command, query
from outvote.core.contract import Delivery, Request
from outvote.core.node_store import MemoryNodes
from outvote.errors import Mistake, Refused, Rot
from outvote.machines.executor import Executor
from outvote.machines.leaves import STATE_BYTES_MAX, STORED_BYTES_MAX
from outvote.machines.operations import decode_outcome, encode_operation
from outvote.machines.stored_dict import StoredDict
from outvote.machines.vault import Vault
from outvote.types import FIRST_CLIENT


class Page(msgspec.Struct, frozen=True):
    text: str
    number: int


class Shelf(StateMachine):
    pages: dict[str, Page] = msgspec.field(default_factory=dict)
    sizes: dict[int, int] = msgspec.field(default_factory=dict)
    writes: int = 0

    @command
    def put(self, name: str, text: str) -> int:
        self.writes += 1
        self.pages[name] = Page(text, self.writes)
        self.sizes[len(text)] = self.sizes.get(len(text), 0) + 1
        return len(self.pages)

    @command
    def drop(self, name: str) -> str | None:
        page = self.pages.pop(name, None)
        return None if page is None else page.text

    @command
    def rename(self, old: str, new: str) -> bool:
        if old not in self.pages:
            return False
        self.pages[new] = self.pages.setdefault(old, Page("", 0))
        del self.pages[old]
        return True

    @command
    def replace(self, count: int) -> int:
        self.pages = {str(one): Page("new", one) for one in range(count)}
        return len(self.pages)

    @command
    def empty(self) -> int:
        self.pages.clear()
        return len(self.pages)

    @query
    def read(self, name: str) -> str:
        return self.pages[name].text

    @query
    def total(self) -> int:
        return sum(page.number for page in self.pages.values())


class Archive(Shelf, stored=("pages",)):
    pass


NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f" * 2000, "g"])
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), st.tuples(NAMES, st.sampled_from(["", "text", "long" * 17_000]))),
    st.tuples(st.just("drop"), st.tuples(NAMES)), st.tuples(st.just("rename"), st.tuples(NAMES, NAMES)),
    st.tuples(st.just("replace"), st.tuples(st.integers(0, 4))), st.tuples(st.just("empty"), st.just(())),
    st.tuples(st.just("read"), st.tuples(NAMES)), st.tuples(st.just("total"), st.just(())),
)  # fmt: skip


class Replica:
    def __init__(self, machine: StateMachine) -> None:
        self.executor = Executor(machine)

    def names(self) -> list[str]:
        return [*self.executor.machine.pages]  # type: ignore[attr-defined]

    def run(self, name: str, *arguments: object) -> bytes:
        executor = self.executor
        position = executor.position + 1
        request = Request(FIRST_CLIENT, position, position - 1, (encode_operation(name, [*arguments]),), b"")
        (answer,) = executor.deliver(Delivery(position, 1, (request,), 0, False))
        return answer.results[0]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(OPERATIONS, st.sampled_from(["", "", "save", "install", "rewind", "store"])), max_size=20))
def test_it_answers_and_digests_as_the_dict_in_memory(steps: list[tuple[tuple[str, tuple[object, ...]], str]]) -> None:
    plain, other, stored = Replica(Shelf()), Replica(Archive()), Replica(Archive())
    for (name, arguments), what in steps:
        answer = plain.run(name, *arguments)
        assert stored.run(name, *arguments) == other.run(name, *arguments) == answer
        snapshot = plain.executor.checkpoint()
        if what == "save":
            assert stored.executor.checkpoint() == snapshot
        elif what == "install":
            stored = Replica(Archive())
            stored.executor.install(snapshot.state)
        elif what == "store":
            vault = Vault(MemoryNodes())
            vault.open(None, None)
            list(vault.write(snapshot.state))
            stored.executor.install(snapshot.state)
        elif what == "rewind":
            held = stored.executor.save()
            stored.run("put", "c", "undone")
            stored.run("drop", "a")
            stored.executor.rewind(held)
            assert stored.executor.save() == held
        assert stored.names() == other.names(), "in an order that does not show when it was saved"
        assert sorted(stored.names()) == sorted(plain.names())
        assert stored.executor.machine.snapshot() == plain.executor.machine.snapshot()
    assert other.executor.checkpoint() == stored.executor.checkpoint() == plain.executor.checkpoint()


def test_it_is_in_the_map_and_not_in_memory() -> None:
    replica = Replica(Archive())
    pages = replica.executor.machine.pages  # type: ignore[attr-defined]
    assert isinstance(pages, StoredDict)
    for number in range(100):
        replica.run("put", f"page {number}", "text")
    assert len(pages.changed) == 100
    replica.executor.checkpoint()
    assert (len(pages.changed), len(pages)) == (0, 100)
    assert decode_outcome(replica.run("read", "page 7"), str) == "text"
    assert pages["page 7"] == Page("text", 8)
    assert replica.executor.machine.pages is pages  # type: ignore[attr-defined]


def test_its_order_is_that_of_its_keys_digests() -> None:
    rng = Random(5)
    names = [f"page {number}" for number in range(300)]
    orders = set()
    for _ in range(4):
        rng.shuffle(names)
        replica = Replica(Archive())
        for name in names:
            replica.run("put", name, "x" * rng.randrange(300))
            if rng.random() < 0.05:
                replica.executor.save()
        orders.add(tuple(replica.names()))
    assert len(orders) == 1


def test_a_value_of_another_type_is_refused_when_it_is_written() -> None:
    """In memory a checkpoint finds it; by then nobody knows which operation it was."""

    class Loose(StateMachine, stored=("items",)):
        items: dict[str, int] = msgspec.field(default_factory=dict)

        @command
        def put(self, value: str) -> None:
            self.items["x"] = value  # type: ignore[assignment]

    with pytest.raises(Refused, match="ValidationError"):
        decode_outcome(Replica(Loose()).run("put", "text"), None)


class Writable(msgspec.Struct):
    text: str


@pytest.mark.parametrize("operation", ["read", "total", "careless"])
def test_what_cannot_be_read_stops_the_replica_and_is_no_answer(operation: str) -> None:
    """Even where the class catches whatever comes: other replicas would answer something else."""

    class Careless(Archive, stored=()):
        @command
        def careless(self, name: str) -> str:
            try:
                return self.pages[name].text
            except Exception:
                return "none"

    replica = Replica(Careless())
    for number in range(300):
        replica.run("put", f"page {number}", "text")
    store = MemoryNodes()
    vault = Vault(store)
    vault.open(None, None)
    list(vault.write(replica.executor.checkpoint().state))
    store.nodes.clear()
    with pytest.raises(Rot, match="missing"):
        replica.run(operation, *(() if operation == "total" else ("page 7",)))


def test_what_cannot_be_stored_is_said() -> None:
    class Lists(StateMachine, stored=("items",)):
        items: dict[str, list[int]] = msgspec.field(default_factory=dict)

        @command
        def put(self) -> None: ...

    class Open(StateMachine, stored=("items",)):
        items: dict[str, Writable] = msgspec.field(default_factory=dict)

        @command
        def put(self) -> None: ...

    class Undeclared(StateMachine, stored=("things",)):
        items: dict[str, int] = msgspec.field(default_factory=dict)

        @command
        def put(self) -> None: ...

    class Number(StateMachine, stored=("items",)):
        items: int = 0

        @command
        def put(self) -> None: ...

    for machine, what in ((Lists, "in place"), (Open, "in place"), (Undeclared, "not declared"), (Number, "no dict")):
        with pytest.raises(Mistake, match=what):
            machine()


def test_popitem_is_refused_and_says_so() -> None:
    with pytest.raises(TypeError, match="by its key"):
        Executor(Archive()).machine.pages.popitem()  # type: ignore[attr-defined]


def test_a_stored_state_may_be_larger_than_one_in_memory() -> None:
    assert STORED_BYTES_MAX > 16 * STATE_BYTES_MAX
    assert Executor(Archive()).stored
    assert not Executor(Shelf()).stored
