"""docs/protocols.md holds the table that the catalogue gives, and each of its numbers is what a run counts.

REWRITE_PROTOCOLS=1 writes the table anew.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

import pytest
from documents import ROOT

from outvote.cli.generals import Army
from outvote.core.contract import Struct
from outvote.core.facts import Count, Facts
from outvote.protocols.catalogue import FACTS, PROTOCOLS
from outvote.protocols.generals.battle import Outcome, fight
from outvote.protocols.generals.battle import Plan as BattlePlan
from outvote.protocols.generals.facts import oral_traitors, signed_traitors
from outvote.protocols.generals.oral_messages import OralGeneral
from outvote.protocols.generals.signed_messages import SignedGeneral
from outvote.protocols.generals.traitors import STRATEGIES
from outvote.simulator.plan import Plan
from outvote.simulator.workload import Call
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, MILLISECOND, SECOND, PartyId

PAGE: Final = ROOT / "docs" / "protocols.md"
FIRST: Final = "| | " + " | ".join(f"`{name}`" for name in FACTS) + " |\n"
LAST: Final = "\n\n## "
NAMES: Final = sorted(PROTOCOLS)
PUT: Final[Call] = ("put", ("k", "v"))
GET: Final[Call] = ("get", ("k",))


def facts_of(name: str) -> Facts:
    found = PROTOCOLS[name].facts
    assert found is not None, f"{name} has no facts: write protocols/{name}/facts.py as protocols/pbft/facts.py is"
    return found


# ---------------------------------------------------------------------- the page


def counted(count: Count, sizes: list[int]) -> str:
    numbers = " / ".join(str(count.of(size)) for size in sizes)
    return count.text if count.text.isdigit() or count.text == "−" else f"{count.text}: {numbers}"


def table() -> str:
    columns = list(FACTS.values())
    sizes = [[facts.replicas.of(f) for f in (1, 2, 3)] for facts in columns]
    rows = {
        "from": [facts.source for facts in columns],
        "f of its replicas may": [facts.tolerates for facts in columns],
        "replicas for f = 1 / 2 / 3": [counted(facts.replicas, [1, 2, 3]) for facts in columns],
        "of them up and correct, to go on": each(columns, sizes, "quorum"),
        "messages to decide": each(columns, sizes, "messages"),
        "signatures made to decide": each(columns, sizes, "signatures"),
        "one-way delays to an answer": each(columns, sizes, "delays"),
        "of a read beside the order": ["−" if one.delays_read is None else str(one.delays_read) for one in columns],
        "equal answers that a client needs": each(columns, sizes, "answers"),
        "cryptography": [facts.crypto for facts in columns],
        "network": [facts.timing for facts in columns],
        "a client believes": [facts.client for facts in columns],
    }
    lines = [f"| {name} | " + " | ".join(cells) + " |\n" for name, cells in rows.items()]
    return FIRST + "|---" * (len(columns) + 1) + "|\n" + "".join(lines)


def each(columns: list[Facts], sizes: list[list[int]], field: str) -> list[str]:
    return [counted(getattr(facts, field), ns) for facts, ns in zip(columns, sizes, strict=True)]


def test_the_page_holds_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition("| | `")
    held, _, after = rest.partition(LAST)
    if os.environ.get("REWRITE_PROTOCOLS", "") not in ("", "0"):
        PAGE.write_text(before + table().rstrip("\n") + LAST + after, encoding="utf-8")
        return
    assert "| | `" + held == table().rstrip("\n"), "run this test with REWRITE_PROTOCOLS=1 and read the difference"


# ---------------------------------------------------------------------- what runs count


class Counted:
    """One request in a calm cluster in which every message takes 1 ms and nothing else takes any time."""

    def __init__(
        self, name: str, n: int, call: Call = PUT, down: int = 0, answers: int | None = None, coins: int = 0
    ) -> None:
        plan = Plan(
            n=n, clients=1, delay_min=MILLISECOND, reads="reads" not in PROTOCOLS[name].lacks, receipts=False,
            client_retry=100 * SECOND, parameters={"dealer_seed": coins} if PROTOCOLS[name].deals else {},
        )  # fmt: skip
        world = World(plan, PROTOCOLS[name])
        world.start()
        world.run_until(SECOND)
        if call is GET:  # a replica that has executed nothing yet answers no reads
            world.call(0, [PUT])
            world.run_until(world.now + SECOND)
        for replica in range(n - down, n):
            world.replicas[replica].crash()
        if answers is not None:
            for replica in range(answers, n):
                world.network.cut(replica, FIRST_CLIENT)
        before = self._ordering(world)
        self.signatures = 0
        told = world.registry.on_seal

        def sealed(party: PartyId, statement: Struct) -> None:
            self.signatures += 1
            told(party, statement)

        world.registry.on_seal = sealed
        world.call(0, [call])
        world.run_until(world.now + SECOND // 4)
        done = [one for _, one in world.clients[0].history if one.call >= SECOND and one.returned is not None]
        self.answered = len(done) == (2 if call is GET else 1)
        self.delays = (done[-1].returned or 0) - done[-1].call if self.answered else -1
        self.messages = self._ordering(world) - before  # an elected leader has begun its term by then

    @staticmethod
    def _ordering(world: World) -> int:
        counters: Counter[str] = Counter()
        for one in world.replicas:
            counters.update(one.turn.counters if one.turn is not None else {})
        return sum(counters[f"{kind}_sent"] for kind in world.protocol.ordering)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("f", [1, 2])
def test_a_decision_takes_what_the_table_says(name: str, f: int) -> None:
    facts = facts_of(name)
    n = facts.replicas.of(f)
    calm = Counted(name, n)
    assert calm.answered
    assert calm.messages == facts.messages.of(n)
    assert calm.signatures == facts.signatures.of(n)
    if facts.by_chance:  # one run's standard deviation is about 7 delays, that of 8 runs' mean 2.5
        runs = [Counted(name, n, coins=coins).delays / MILLISECOND for coins in range(16 // f)]
        assert abs(sum(runs) / len(runs) - facts.delays.of(n)) < 4
    else:
        assert calm.delays == facts.delays.of(n) * MILLISECOND
    if facts.delays_read is not None:
        assert Counted(name, n, GET).delays == facts.delays_read * MILLISECOND


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("f", [1, 2])
def test_as_many_must_be_up_and_answer_as_the_table_says(name: str, f: int) -> None:
    facts = facts_of(name)
    n = facts.replicas.of(f)
    quorum, answers = facts.quorum.of(n), facts.answers.of(n)
    assert n - quorum == f
    assert Counted(name, n, down=n - quorum).answered
    assert not Counted(name, n, down=n - quorum + 1).answered
    assert Counted(name, n, answers=answers).answered
    assert not Counted(name, n, answers=answers - 1).answered


def fought(signed: bool, n: int, m: int) -> Outcome:
    army = Army(0)
    return fight(BattlePlan(signed, n, m), STRATEGIES["obey"], 0, army.sign, army.opens)


@pytest.mark.parametrize("f", [1, 2, 3])
def test_a_battle_takes_what_the_table_says(f: int) -> None:
    for name, signed, bears in (("OM(m)", False, oral_traitors), ("SM(m)", True, signed_traitors)):
        facts = FACTS[name]
        n = facts.replicas.of(f)
        assert bears(n) == f > bears(n - 1)
        outcome = fought(signed, n, f)
        assert len(outcome.messages) == facts.messages.of(n)
        assert outcome.signatures == facts.signatures.of(n)
        # A loyal commander's order is known to all after two rounds, but nobody may decide before the last.
        assert (SignedGeneral if signed else OralGeneral)(1, n, f).rounds == facts.delays.of(n)
        if not signed:
            assert max(said.round for said in outcome.messages) == facts.delays.of(n)
        assert n - f == facts.quorum.of(n)
