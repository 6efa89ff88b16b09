"""A replica whose voice can be corrupted while it runs: the traitor of `outvote demo`.

Started as `python -m outvote.cli.traitor run DIRECTORY --replica N`, it runs what `outvote run` runs, and is honest
until a line on its standard input names the behaviours to put on ("equivocate forge-values", "silent", "honest"). It
lies under its own key only, and no other process knows that it is one. It ends when its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from outvote.cli.serve import make_node, run_loop, say_to_stderr, serve
from outvote.configuration.files import load_genesis
from outvote.errors import Mistake, OutvoteError
from outvote.host.node import Node
from outvote.host.voice import Voice
from outvote.protocols.catalogue import protocol
from outvote.simulator.adversaries.behaviour import Behaviour, TraitorVoice
from outvote.simulator.adversaries.catalogue import behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import SECOND, ClientId, Nanos, ReplicaId
from outvote.wire.client_messages import ReplyStatement

HONEST: Final = "honest"
FORGE_VALUES: Final = "forge-values"
NOW: Final = "now: "  # begins the line that says which behaviours are on
ORDER_BYTES_MAX: Final = 4096  # one read of standard input; an order has some forty bytes


class ValueForger(Behaviour):
    """Answers clients with lies of the right type, which only a vote can tell from the truth."""

    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
        return forged(statement)


def forged(statement: ReplyStatement) -> ReplyStatement:
    """The same answer with other values."""
    return msgspec.structs.replace(statement, results=tuple(map(_forged, statement.results)))


def _forged(outcome: bytes) -> bytes:
    kind, value = msgspec.msgpack.decode(outcome)
    return msgspec.msgpack.encode((kind, _twisted(value)))


def _twisted(value: Any) -> Any:
    """Text becomes "forged", numbers are one off, and what stands in lists likewise; no other type is touched."""
    if isinstance(value, str):
        return "forged"
    if isinstance(value, int) and not isinstance(value, bool):
        return value + 1
    if isinstance(value, list):
        return [_twisted(one) for one in value]
    return value


class Tongue:
    """Changes what a replica says, by order. Only on the event loop's thread."""

    def __init__(self, directory: Path, replica: ReplicaId) -> None:
        genesis = load_genesis(directory)
        self._replica = replica
        self._protocol = protocol(genesis.entry)
        self._voice: TraitorVoice | None = None

    def voice_of(self, voice: Voice) -> Voice:
        powers = Powers(voice, self._protocol, Random(self._replica), time.monotonic_ns, later)
        self._voice = TraitorVoice.over(voice, powers, [])
        return self._voice

    def obey(self, order: str) -> str:
        """Put on what the order names. Returns what to say about it."""
        names = [name for name in order.split() if name != HONEST]
        if self._voice is not None:
            try:
                self._voice.put_on([worn(name, self._voice.powers) for name in names])
            except Mistake as error:
                return str(error)
        return NOW + (" ".join(names) or HONEST)


def worn(name: str, powers: Powers) -> Behaviour:
    """Raises Mistake if there is no such behaviour."""
    return ValueForger(powers) if name == FORGE_VALUES else behaviour(name, powers)


def later(delay: Nanos, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(delay / SECOND, action)


def read_orders(heard: Callable[[str], None], ended: Callable[[], None]) -> None:
    """Read lines from standard input in a thread, which works on every platform's pipes."""

    def read() -> None:
        rest = b""
        while chunk := os.read(0, ORDER_BYTES_MAX):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                heard(line.decode(errors="replace"))
            rest = rest[-ORDER_BYTES_MAX:]
        ended()

    threading.Thread(target=read, daemon=True).start()


def run_traitor(directory: Path, replica: ReplicaId) -> None:
    """Raises what `run_replica` raises."""
    say = say_to_stderr(replica)
    tongue = Tongue(directory, replica)

    def ready(node: Node) -> None:
        loop = asyncio.get_running_loop()

        def heard(order: str) -> None:
            loop.call_soon_threadsafe(lambda: say(tongue.obey(order)))

        read_orders(heard, lambda: os._exit(0))
        standing = node.turn.core.standing()
        say(f"serving; view {standing.view}, position {standing.position}")

    run_loop(serve(lambda: make_node(directory, replica, say=say, voice_of=tongue.voice_of), ready, say))


def main(arguments: Sequence[str]) -> int:
    """An error of ours is one line on standard error."""
    parser = argparse.ArgumentParser(prog="outvote.cli.traitor")
    parser.add_argument("command", choices=["run"])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--replica", type=int, required=True)
    given = parser.parse_args(arguments)
    try:
        run_traitor(given.directory, given.replica)
    except OutvoteError as error:
        say_to_stderr(given.replica)(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
