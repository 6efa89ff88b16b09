"""docs/map.md follows one request; here one is followed through a real cluster, and both must agree."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

import pytest
from documents import ROOT, free_port_block

from outvote import Client, StateMachine, command
from outvote.cli.serve import make_node
from outvote.client.connections import Connections
from outvote.configuration.files import create_cluster
from outvote.host.links import Links
from outvote.host.listener import Arrival, Listener
from outvote.host.node import Node
from outvote.host.turn import Turn

PACKAGE: Final = ROOT / "src" / "outvote"
CLIENT: Final = "client"
PRIMARY: Final = "replica 0"
WHO: Final = {
    "At the client": CLIENT, "At the primary": PRIMARY, "At a backup": "replica 1", "At the client again": CLIENT,
}  # fmt: skip
_STEP: Final = re.compile(r"^(\d+)\. \[([\w/.]+)\]\(\.\./src/outvote/([\w/.]+)\)\s+`([\w.]+)`", re.MULTILINE)


class Step(NamedTuple):
    """Somebody calls a function of a file."""

    who: str
    file: str
    function: str


class Tally(StateMachine):
    total: int = 0

    @command
    def add(self, amount: int) -> int:
        self.total += amount
        return self.total


def steps(text: str) -> list[Step]:
    """The numbered steps of the page, with whose they are."""
    found: list[Step] = []
    for section in text.split("\n### ")[1:]:
        who = WHO[section.partition("\n")[0]]
        for number, shown, file, function in _STEP.findall(section):
            found.append(Step(who, file, function))
            assert int(number) == len(found), f"step {number} is number {len(found)}"
            assert shown == file
        assert len(_STEP.findall(section)) == len(re.findall(r"^\d+\. ", section, re.MULTILINE))
    return found


def first_out_of_order(expected: Sequence[Step], happened: Iterable[Step]) -> Step | None:
    """The first expected step that did not happen after the ones before it."""
    events = iter(happened)
    for step in expected:
        if step not in events:  # consumes up to and with the step
            return step
    return None


def owner(frame: FrameType | None) -> str:
    """In whose name a function runs: the nearest caller that belongs to one replica or to the client."""
    while frame is not None:
        self = frame.f_locals.get("self")
        if isinstance(self, Client | Connections):
            return CLIENT
        if isinstance(self, Turn | Links | Listener):
            return f"replica {self.me}"
        if isinstance(self, Node):
            return f"replica {self.turn.me}"
        if isinstance(self, Arrival):
            return f"replica {self._listener.me}"
        frame = frame.f_back
    return "nobody"


async def follow(directory: Path) -> list[Step]:
    """What is called, and by whom, while one operation is ordered by four replicas with sockets and disks."""
    create_cluster(
        directory, name="map", machine=f"{__name__}:Tally", replicas=4, base_port=free_port_block(4)
    )
    nodes = [make_node(directory, replica, say=lambda _: None, sync="inline") for replica in range(4)]
    happened: list[Step] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(PACKAGE)):
            file = str(Path(path).relative_to(PACKAGE))
            happened.append(Step(owner(frame), file, frame.f_code.co_qualname))

    for node in nodes:
        await node.start()
    try:
        async with await Client.connect(directory, machine=Tally) as client:
            assert await client.call("add", 1) == 1
            await asyncio.gather(*(settled(node, 1) for node in nodes))
            sys.setprofile(watch)
            assert await client.call("add", 2) == 3
            await asyncio.gather(*(settled(node, 2) for node in nodes))
    finally:
        sys.setprofile(None)
        for node in nodes:
            await node.stop()
    return happened


async def settled(node: Node, position: int) -> None:
    while node.turn.core.standing().position < position:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0)


@pytest.mark.processes
def test_the_map_follows_a_request_as_the_code_does(tmp_path: Path) -> None:
    expected = steps((ROOT / "docs" / "map.md").read_text())
    happened = asyncio.run(follow(tmp_path / "cluster"))
    never = [step for step in expected if step not in happened]
    assert never == []
    # The client may be done before the decision is: its answer is tentative.
    functions = [step.function for step in expected]
    decision, answer = functions.index("on_commit"), functions.index("Client.heard")
    assert first_out_of_order(expected[:answer], happened) is None
    assert first_out_of_order(expected[:decision] + expected[answer:], happened) is None
    assert first_out_of_order(expected[::-1], happened) is not None


def test_a_planted_wrong_order_is_found() -> None:
    durable = Step(PRIMARY, "storage/directory.py", "DirectoryDisk.append")
    said = Step(PRIMARY, "host/voice.py", "Voice.promise")
    assert first_out_of_order([durable, said], [durable, durable, said]) is None
    assert first_out_of_order([durable, said], [said, durable]) == said
    assert first_out_of_order([durable, said], [durable, said._replace(who=CLIENT)]) == said


def test_a_planted_wrong_number_is_found() -> None:
    line = "[wire/codec.py](../src/outvote/wire/codec.py) `Codec.decode`"
    assert len(steps(f"# A\n\n### At a backup\n\n1. {line}\n2. {line}\n")) == 2
    with pytest.raises(AssertionError):
        steps(f"# A\n\n### At a backup\n\n1. {line}\n3. {line}\n")
    with pytest.raises(AssertionError):
        steps(f"# A\n\n### At a backup\n\n1. {line}\n2. nothing that could be checked\n")
