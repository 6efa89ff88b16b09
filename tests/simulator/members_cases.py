"""Events that break what the checker of eras holds: real eras and records of HoneyBadger, cores that are made up. For
test_checkers_fire.py, where replica 3 lies."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from outvote.protocols.catalogue import MembersInsight, protocol
from outvote.protocols.honeybadger.insight import wished
from outvote.protocols.honeybadger.membership import Era, mask_of
from outvote.protocols.honeybadger.records import Wished
from outvote.simulator.checkers.eras import Eras

Event = tuple[Any, ...]
FIRST, SECOND = Era(0, 1, (0, 1, 2, 3)), Era(1, 9, (1, 2, 3, 4))
WISH = Wished(0, mask_of(SECOND.members))


def turn(stage: Any, me: int, *eras: Era) -> Event:
    found = protocol("honeybadger")
    members = MembersInsight(lambda core: core.eras, wished)  # type: ignore[attr-defined]
    stage.protocol = found._replace(insight=found.insight._replace(members=members))
    return "turned", me, SimpleNamespace(me=me, core=SimpleNamespace(eras=eras)), True


def two_memberships(stage: Any) -> Sequence[Event]:
    told = [("recorded", 0, WISH), ("recorded", 1, WISH), turn(stage, 0, FIRST, SECOND), turn(stage, 1, FIRST)]
    return [*told, turn(stage, 1, FIRST, SECOND), turn(stage, 2, FIRST, Era(1, 9, (1, 2, 3, 4), 0, b"", b"others"))]


def changed_though_two_of_four_wished(stage: Any) -> Sequence[Event]:
    """An honest one and a liar; what is wished by a learner, of others, or in another era is not this."""
    wishes = [
        ("recorded", 0, WISH), ("recorded", 4, WISH), ("recorded", 1, Wished(0, 31)),
        ("recorded", 2, Wished(1, WISH.wish)),
    ]  # fmt: skip
    return [turn(stage, 0, FIRST), *wishes, turn(stage, 0, FIRST, SECOND)]


CASES = (
    (Eras, "one membership", two_memberships),
    (Eras, "change without a quorum", changed_though_two_of_four_wished),
)
