"""Every campaign by name, and the one form in which a run is named: `17` is a seed of the swarm, `twins:random:17` a
case of another campaign. `outvote replay` takes either."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from outvote.errors import Mistake
from outvote.protocols.catalogue import Protocol
from outvote.simulator.campaigns import byzzfuzz, crash_points, twins
from outvote.simulator.plan import Plan
from outvote.simulator.swarm import draw

SEED_MAX: Final = 2**63 - 1


class Campaign(NamedTuple):
    """One way of searching."""

    name: str
    prefix: str  # of its cases
    plan: Callable[[Protocol, str], Plan]  # the run that a case stands for; raises Mistake
    cases: Callable[[Protocol, int, int], Iterator[str]]  # from which number on, and how many
    amount: int  # what a thorough search takes as its count
    endless: bool  # another first number gives other runs
    expected_marks: tuple[str, ...]  # what its runs, taken together, must have been through
    runs_min: int  # fewer runs need not have
    median_view_min: int = 0  # half of the runs must get at least to this view: where the flaws are
    of_lies: str = ""  # who lies in it: so it means nothing where one liar breaks the protocol


def _seed(protocol: Protocol, text: str) -> Plan:
    if not text.isdecimal() or int(text) > SEED_MAX:
        raise Mistake(f"{text!r} is no seed: write a number from 0 to {SEED_MAX}")
    return draw(int(text), protocol.name)


CAMPAIGNS: Final[Mapping[str, Campaign]] = {
    one.name: one
    for one in (
        Campaign(
            "swarm", "swarm", _seed, lambda _, first, count: map(str, range(first, first + count)), 1500, True,
            expected_marks=(), runs_min=100, median_view_min=3,
        ),
        Campaign(
            "twins", "twins", twins.plan, lambda _, first, count: twins.cases(first, count), 10_000, True,
            expected_marks=(
                "messages kept on their side", "views entered", "prepared certificates carried over",
                "null batches proposed", "evidence found", "lies dropped", "states fetched", "messages lost",
            ),
            runs_min=500, of_lies="two processes hold one key, and each denies what the other said",
        ),
        Campaign(
            "byzzfuzz", "byzzfuzz", byzzfuzz.plan, lambda _, first, count: byzzfuzz.cases(first, count), 200, True,
            expected_marks=(
                "messages kept on their side", "views entered", "prepared certificates carried over", "lies dropped",
                "evidence found", "states fetched",
            ),
            runs_min=500, of_lies="somebody's messages are changed on their way, as if their sender had lied",
        ),
        Campaign(
            "crash-points", "crash", crash_points.plan, lambda protocol, _first, _count: crash_points.cases(protocol),
            0, False,
            expected_marks=(
                "crashes", "views entered", "prepared certificates carried over", "states fetched",
                "stable checkpoints", "disk: unsynced bytes lost or torn", "torn tails",
            ),
            runs_min=500,
        ),
    )
}
ENDLESS: Final = tuple(name for name, one in CAMPAIGNS.items() if one.endless)


def campaign(name: str) -> Campaign:
    """Raises Mistake if there is none of this name."""
    found = CAMPAIGNS.get(name)
    if found is None:
        raise Mistake(f"there is no campaign {name!r}: choose one of {', '.join(CAMPAIGNS)}")
    return found


def plan_of_case(protocol: Protocol, case: str) -> Plan:
    """The run that a case stands for. Raises Mistake for a text that names none."""
    name, colon, rest = case.partition(":")
    if not colon:
        return _seed(protocol, name)
    for one in CAMPAIGNS.values():
        if name == one.prefix:
            return one.plan(protocol, rest)
    known = ", ".join(f"{one.prefix}:..." for one in CAMPAIGNS.values())
    raise Mistake(f"{case!r} names no run: write a seed of the swarm, or one of {known}")


def cases(protocol: Protocol, chosen: Campaign, first: int, count: int) -> Iterator[str]:
    """The cases of one campaign, as `plan_of_case` reads them; seeds of the swarm without its name."""
    prefix = "" if chosen.name == "swarm" else f"{chosen.prefix}:"
    return (prefix + name for name in chosen.cases(protocol, first, count))
