"""ByzzFuzz: rounds come from messages, changes stay under the liar's own seal, and every cell of the grid runs."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from outvote.core.checkpoints import GENESIS
from outvote.core.contract import Message
from outvote.errors import Mistake
from outvote.host.voice import Voice
from outvote.machines.state_transfer import TRANSFER_MESSAGES
from outvote.protocols.catalogue import PBFT
from outvote.protocols.pbft.messages import Commit, NewView, NewViewProof, Prepare, Status, ViewChange
from outvote.simulator.adversaries.mutator import ANY, SMALL, Mutate
from outvote.simulator.adversaries.powers import Powers
from outvote.simulator.campaigns import byzzfuzz
from outvote.simulator.campaigns.running import run_case
from outvote.simulator.seals import SealRegistry
from outvote.wire.codec import Codec

CODEC = Codec((*PBFT.messages, *TRANSFER_MESSAGES), epoch=0)


class Nowhere:
    """A network that nothing leaves."""

    def send(self, receiver: int, body: bytes) -> None:
        raise AssertionError((receiver, body))

    def answer(self, client: int, message: Any) -> None:
        raise AssertionError((client, message))

    def hasten(self) -> None: ...


def mutator(argument: str) -> Mutate:
    voice = Voice(1, 4, SealRegistry(1).sealer(1), CODEC, Nowhere())
    return Mutate(Powers(voice, PBFT, Random(1), lambda: 0, lambda _delay, _action: None), argument)


def vote(position: int, view: int = 0, digest: bytes = b"a" * 32) -> Prepare:
    return Prepare(view, position, digest)


def test_rounds_are_computed_from_messages() -> None:
    change = ViewChange(2, GENESIS, ())
    new_view = NewView(2, (), ())
    assert [PBFT.round_of(one) for one in (change, new_view, vote(7), Commit(1, 1, b""))] == [10, 11, 3, 9]
    assert PBFT.round_of(NewViewProof(1, new_view, b"")) == PBFT.round_of(new_view)
    assert PBFT.round_of(Status(3, True, 0, 0, b"")) is None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("position-up", [vote(6)]), ("position-down", [vote(4)]), ("view-up", [vote(5, 1)]),
        ("view-down", [vote(5)]), ("nil", [vote(5, digest=b"")]), ("previous", [vote(1)]), ("omit", []),
        ("other-digest", [vote(5, digest=b"b" * 32)]),
    ],
)
def test_small_changes_are_those_of_the_paper(kind: str, said: list[Message]) -> None:
    liar = mutator(f"3.{kind}.0")
    liar._round = -1
    assert liar.speak(2, vote(1)) == [vote(1)], "another round"
    liar._round = 3
    liar.heard(0, vote(4, digest=b"b" * 32), b"")
    told = vote(5)
    assert liar.speak(2, told) == said
    assert liar.speak(3, told) == said, "everybody hears the same"


def test_what_belongs_to_no_round_counts_for_the_one_spoken_in() -> None:
    liar = mutator("3.omit.0")
    status = Status(0, True, 0, 0, b"")
    assert liar.speak(2, status) == [status]
    assert liar.speak(2, vote(1)) == []
    assert liar.speak(2, Status(0, True, 0, 1, b"")) == []


def test_changes_of_any_scope_reach_every_field_and_can_be_sent() -> None:
    changed: dict[str, int] = {}
    change = ViewChange(1, GENESIS, ())
    for seed in range(200):
        liar = mutator(f"5.{ANY}.{seed}")
        liar.heard(0, ViewChange(7, msgspec.structs.replace(GENESIS, position=4, digest=b"x"), ()), b"")
        (said,) = liar.speak(2, change)
        CODEC.encode(said, b"")
        for name in change.__struct_fields__:
            changed[name] = changed.get(name, 0) + (getattr(said, name) != getattr(change, name))
    assert changed["view"] > 10
    assert changed["stable"] > 10


def test_an_argument_that_makes_no_sense_is_a_mistake() -> None:
    for argument in ("", "3", "3.nil", "x.nil.0", "3.lie.0", "3.nil.x"):
        with pytest.raises(Mistake, match="write mutate:ROUND"):
            mutator(argument)


@pytest.mark.parametrize("cell", byzzfuzz.grid())
def test_every_cell_holds(cell: str) -> None:
    for number in range(2):
        assert run_case("pbft", f"byzzfuzz:{cell}:{number}").violation == ""


def test_the_grid_is_complete_and_its_runs_have_what_they_say() -> None:
    assert len(byzzfuzz.grid()) == 3 + 2 * 3 * 2
    assert len(list(byzzfuzz.cases(5, 2))) == 2 * len(byzzfuzz.grid())
    plan = byzzfuzz.plan(PBFT, "2-1-small:17")
    ((liar, sins),) = plan.liars
    assert len(sins) == 2
    assert len(plan.splits) == 1
    assert all(f"@{liar}" not in sin for sin in sins)
    assert any(kind in sin for sin in sins for kind in SMALL)


@pytest.mark.parametrize("name", ["", "3-0-small:1", "1-1-small", "1-1-large:1", "0-1-any:2"])
def test_a_case_that_does_not_exist_is_a_mistake(name: str) -> None:
    with pytest.raises(Mistake):
        byzzfuzz.plan(PBFT, name)
