"""Named deadlines: a stale one cannot fire."""

from __future__ import annotations

from outvote.core.timers import Timers
from outvote.types import NEVER


def test_the_next_deadline_is_the_earliest() -> None:
    timers = Timers()
    assert timers.next() == NEVER
    timers.set("view", 30)
    timers.set("status", 20)
    assert timers.next() == 20
    timers.cancel("status")
    timers.cancel("never set")
    assert timers.next() == 30


def test_due_names_come_earliest_first_ties_by_name_and_once() -> None:
    timers = Timers()
    for name, at in (("d", 40), ("b", 10), ("a", 10), ("c", 5)):
        timers.set(name, at)
    assert timers.due(4) == []
    assert timers.due(10) == ["c", "a", "b"]
    assert timers.due(10) == []
    assert timers.next() == 40


def test_setting_again_replaces() -> None:
    timers = Timers()
    timers.set("view", 10)
    timers.set("view", 50)
    assert timers.deadline("view") == 50
    assert timers.due(49) == []
    assert timers.due(50) == ["view"]
    assert timers.deadline("view") == NEVER
