"""`outvote check` must catch each known sin, name it, and leave honest classes alone."""

from __future__ import annotations

import pytest

from outvote.cli.check import check_machine
from outvote.errors import Mistake


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ReadsClock", ("stamp()", "self.stamped", "context.time_ns")),
        ("DrawsRandomly", ("draw()", "self.drawn", "context.random")),
        ("IteratesSet", ("joined()", "sorted(...)")),
        ("TakesAddress", ("touch()", "self.address", "id() is an address")),
        ("HashesText", ("file(", "self.buckets", "hash()")),
        ("SharesDefault", ("append(", "only after a restore", "class variable")),
        ("WritesInQuery", ("read()", "is a query and changed self.reads")),
        ("LosesOrder", ("first()", "only after a restore", "order of a dict")),
        ("Undeclared", ("remember(", "self.last", "declare")),
        ("Unwritable", ("keep()", "Unwritable.value", "cannot be written")),
        ("HoldsOtherType", ("does not fit", "expected `int`")),
        ("Asserts", ("grow(", "AssertionError", "raise Rejected")),
        ("ModuleVariable", ("serve(", "only after a restore", "module's")),
        ("Leaves", ("leave()", "the process ended")),
    ],
)
def test_each_sin_is_caught_and_explained(name: str, words: tuple[str, ...]) -> None:
    report = check_machine(f"unfit_machines:{name}", operations=150, seed=4)
    assert not report.passed
    text = report.text()
    assert [word for word in words if word.lower() not in text.lower()] == [], text


def test_honest_classes_pass_and_sets_are_warned_about() -> None:
    report = check_machine("unfit_machines:Honest", operations=150, seed=4)
    assert report.problems == []
    assert report.operations == 150
    assert all(count > 10 for count in report.done.values())
    assert [warning.split(" holds")[0] for warning in report.warnings] == ["Honest.names", "Honest.points"]


@pytest.mark.parametrize("reference", ["outvote.machines.key_value:KeyValueStore", "outvote.machines.ledger:Ledger"])
def test_the_machines_that_come_with_the_package_pass(reference: str) -> None:
    report = check_machine(reference, operations=200, seed=7)
    assert report.problems == []
    assert report.warnings == []
    assert all(count > 0 for count in report.done.values())


def test_the_same_seed_makes_the_same_check() -> None:
    first, second = (check_machine("unfit_machines:Asserts", operations=50, seed=9) for _ in range(2))
    assert first.text() == second.text()


def test_a_class_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(Mistake, match="did you mean ReadsClock"):
        check_machine("unfit_machines:ReadClock")
