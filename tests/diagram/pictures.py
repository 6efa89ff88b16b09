"""The chronicles that the tests of diagrams are about, and the picture that docs/how_to/read_a_diagram.md shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from outvote.cli.generals import Army
from outvote.cli.generals_drawing import chronicle_of
from outvote.diagram.story import Story
from outvote.diagram.svg import picture
from outvote.observe.chronicle import Chronicle, EventKind
from outvote.protocols.catalogue import protocol
from outvote.protocols.generals.battle import Plan as Battle
from outvote.protocols.generals.battle import fight
from outvote.protocols.generals.traitors import STRATEGIES
from outvote.simulator.plan import Plan
from outvote.simulator.scheduler import Hold, Scheduler
from outvote.simulator.world import World
from outvote.types import MILLISECOND, NEVER

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
KINDS: Final = ("Offer", "Vote", "Promise")


def view_change() -> Chronicle:
    """A primary dies when its proposal has reached one backup only; the others change the view and go on."""
    plan = Plan(n=4, clients=1, parameters={"view_timeout_ms": 300}, faults_end=NEVER, deadline=NEVER)
    world = World(plan, protocol("pbft"), chronicle=True)
    assert world.chronicler is not None
    world.chronicler.chronicle.title = "PBFT: the primary dies when its proposal has reached one backup; a view change"
    world.start()
    world.network.cut(0, 2)
    world.network.cut(0, 3)
    world.call(0, [("put", ("a", "1"))])
    world.run_until(100 * MILLISECOND)
    world.replicas[0].crash()
    world.run_until(1050 * MILLISECOND)
    world.network.heal(0, 2)
    world.network.heal(0, 3)
    world.replicas[0].start()
    world.run_until(1100 * MILLISECOND)
    return world.chronicler.chronicle


def view_change_picture() -> str:
    """As the how-to shows it: without the gossip about who stands where."""
    return picture(Story(view_change(), ("Status", "Forward")))


def held_back(name: str, title: str, holds: Sequence[Hold] = ()) -> tuple[Chronicle, list[Hold]]:
    """One request, and a scheduler that follows the leader, or repeats what it held back elsewhere."""
    parameters = {"view_timeout_ms": 300} if name == "pbft" else {"batch_requests_max": 4}
    world = World(
        Plan(n=4, clients=1, client_retry=5 * MILLISECOND, parameters=parameters, faults_end=NEVER, deadline=NEVER),
        protocol(name), chronicle=True,
    )
    assert world.chronicler is not None
    world.chronicler.chronicle.title = title
    scheduler = Scheduler(world)
    if holds:
        scheduler.repeat(holds)
    else:
        scheduler.follow_the_leader()
    world.start()
    world.call(0, [("put", ("a", "1"))])
    world.run_until(700 * MILLISECOND)
    return world.chronicler.chronicle, scheduler.holds


def held_leader_pictures() -> tuple[str, str]:
    """PBFT and HoneyBadger under one schedule: views change and nothing is executed; the others do not wait."""
    leading, holds = held_back("pbft", "PBFT, whoever leads held back: view after view, and nothing executed")
    leaderless, _ = held_back("honeybadger", "HoneyBadger under the same schedule: the others do not wait", holds)
    return (
        picture(Story(leading, ("Status", "Forward", "Submit", "Prepare", "NewViewProof"))),
        picture(Story(leaderless, ("Lacking", "Broadcasting", "Agreeing", "Decided"))),
    )


def late_order_picture() -> str:
    """The generals' how-to: a second order, shown to one general in the last round."""
    army = Army(0)
    outcome = fight(Battle(True, 4, 2, traitors=(0, 3)), STRATEGIES["whisper"], 0, army.sign, army.opens)
    title = "SM(2): D shows C another order of A in the last round, too late to be passed on"
    return picture(Story(chronicle_of(outcome, title)))


def crowd(messages: int, lanes: int = 4) -> Chronicle:
    """Messages in bursts between all lanes: of three kinds, some lost, some doubled, some lies, with signs between."""
    chronicle = Chronicle("a crowd")
    for lane in range(lanes):
        chronicle.add_lane(f"replica {lane}")
    at = 0
    pending: list[tuple[int, int]] = []
    for index in range(messages):
        if index % 7 == 0:
            at += MILLISECOND // (1 + index % 3)
        while pending and pending[0][0] <= at:
            arrival, number = pending.pop(0)
            chronicle.arrived(at, number)
        sender = index % lanes
        receiver = (sender + 1 + index // lanes % (lanes - 1)) % lanes
        name = KINDS[index % len(KINDS)]
        place = index // 12
        number = chronicle.sent(at, sender, receiver, name, f"p{place}", f"position = {place}", index % 20 == 7)
        if index % 10 == 3:
            chronicle.lost(at, number, "lost by the network")
        else:
            copies = 2 if index % 10 == 5 else 1
            pending += [(at + (2 + index % 5 + copy) * MILLISECOND, number) for copy in range(copies)]
            pending.sort()
        if index % 9 == 0:
            chronicle.happened(at, EventKind.DELIVERED, sender, position=index + 1)
            chronicle.happened(at, EventKind.NOTE, sender, "something to note, in more words than there is room for")
    for arrival, number in pending:
        chronicle.arrived(max(at, arrival), number)
    return chronicle
