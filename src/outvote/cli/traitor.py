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
from outvote.types import ClientId, ReplicaId
from outvote.wire.client_messages import ReplyStatement

HONEST: Final = "honest"
FORGE_VALUES: Final = "forge-values"
NOW: Final = "now: "  # begins the line that says which behaviours are on
ORDER_BYTES_MAX: Final = 4096  # one read of standard input; an order has some forty bytes


class ValueForger(Behaviour):
    """Answers clients with lies of the right type, which only a vote can tell from the truth."""

    def answer(self, client: ClientId, statement: ReplyStatement) -> ReplyStatement | None:
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
        self._n = genesis.n
        self._replica = replica
        self._protocol = protocol(genesis.protocol)
        self._voice: TraitorVoice | None = None
        self._orders = 0

    def voice_of(self, voice: Voice) -> Voice:
        self._voice = TraitorVoice.over(voice, [])
        return self._voice

    def obey(self, order: str) -> str:
        """Put on what the order names. Returns what to say about it."""
        self._orders += 1
        rng = Random(self._replica * 1000 + self._orders)
        names = [name for name in order.split() if name != HONEST]
        try:
            chosen = [self._behaviour(name, rng) for name in names]
        except Mistake as error:
            return str(error)
        if self._voice is not None:
            self._voice.behaviours = chosen
        return NOW + (" ".join(names) or HONEST)

    def _behaviour(self, name: str, rng: Random) -> Behaviour:
        if name == FORGE_VALUES:
            return ValueForger(rng, self._protocol, self._n)
        return behaviour(name, rng, self._protocol, self._n)


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
