"""Runs one replica in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from outvote.cli import endings
from outvote.cli.cautions import CRASHES_ONLY, PLAIN_WARNING
from outvote.cli.keys import keep_transcript
from outvote.configuration.files import PartyKeys, load_genesis, load_replica_keys, replica_directory
from outvote.configuration.genesis import Genesis
from outvote.configuration.machine_class import machine_of
from outvote.core.contract import Core
from outvote.errors import Mistake, OutvoteError
from outvote.host.node import Node
from outvote.host.voice import Voice
from outvote.protocols.catalogue import Protocol, founding_variant, protocol
from outvote.protocols.honeybadger.keys import Given
from outvote.storage.directory import Sync
from outvote.types import ReplicaId

CORES_FOR_A_WORKER: Final = 2
YOUNG_OBJECTS_MAX: Final = 10_000  # Python's default is 700


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where the platform has it."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def make_node(
    directory: Path,
    replica: ReplicaId,
    *,
    say: Callable[[str], None],
    data: Path | None = None,
    sync: Sync = "auto",
    listen: tuple[str, int] | None = None,
    voice_of: Callable[[Voice], Voice] | None = None,
) -> Node:
    """A node from a cluster's directory. Raises Mistake; needs a running event loop."""
    genesis = load_genesis(directory)
    keys = load_replica_keys(directory, replica, genesis)
    entry = entry_of(genesis)
    if entry.tolerates != genesis.tolerates:
        raise Mistake(
            f"{genesis.protocol} tolerates {entry.tolerates}, and cluster.toml says {genesis.tolerates}: "
            "make the cluster with outvote init"
        )
    core = core_of(genesis, entry, keys)
    return Node(
        genesis,
        keys,
        core=core,
        messages=entry.messages,
        records=entry.records,
        sealing=entry.seals,
        machine=machine_of(genesis, replica)(),
        say=say,
        data=data,
        sync=sync,
        listen=listen,
        voice_of=voice_of,
        worker=worker_of(directory, replica, core),
    )


def worker_of(directory: Path, replica: ReplicaId, core: Core) -> tuple[str, ...]:
    """The command line of a process for what would hold up the loop, where there is such work and a core to spare."""
    if not core.hands_out_jobs or (os.cpu_count() or 1) < CORES_FOR_A_WORKER:
        return ()
    return (sys.executable, "-m", "outvote.cli.worker", str(directory), str(replica))


def entry_of(genesis: Genesis) -> Protocol:
    """The protocol; where its replicas make threshold keys first, the variant that does so. Raises Mistake."""
    makes_keys = genesis.threshold is not None and bool(genesis.threshold.registrations)
    return founding_variant(genesis.entry) if makes_keys else protocol(genesis.entry)


def core_of(genesis: Genesis, entry: Protocol, keys: PartyKeys) -> Core:
    """Raises Mistake."""
    names = [name for name in genesis.parameters.__struct_fields__ if name != "reads"]  # which clients need, no core
    parameters = {**{name: getattr(genesis.parameters, name) for name in names}, **genesis.flags}
    if entry.make_with is None:
        return entry.make(keys.party, genesis.committee(), parameters)
    if genesis.threshold is None or keys.threshold is None:
        raise Mistake(f"{entry.name} needs threshold keys; cluster.toml has none: make the cluster with outvote init")
    threshold = genesis.threshold
    public, verification, registered = threshold.key(), threshold.verification_keys(), threshold.registered()
    given = Given(genesis.identity(), public, verification, keys.threshold.secret, registered)
    return entry.make_with(keys.party, genesis.committee(), parameters, given)


def spare_the_collector() -> None:
    """Reference counts free nearly everything here: messages make no cycles, and most are not looked at. So
    the collector of cycles starts less often, and does not look again at what start-up made, which stays. 10 000 lists
    and dicts may wait for it, 1 MB."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, 10, 10)


async def serve(make: Callable[[], Node], ready: Callable[[Node], None], say: Callable[[str], None]) -> None:
    """Start, serve until SIGTERM, SIGINT or failure, stop. Raises what stopped the replica."""
    node = make()
    await node.start()
    spare_the_collector()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt instead
            loop.add_signal_handler(name, stop.set)
    if hasattr(signal, "SIGUSR1"):
        loop.add_signal_handler(signal.SIGUSR1, node.refresh_keys)
    ready(node)
    stopping = loop.create_task(stop.wait())
    await asyncio.wait((stopping, asyncio.ensure_future(node.finished)), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    failed = node.finished.exception() if node.finished.done() else None
    await node.stop()
    if failed is not None:
        raise failed
    say("stopped")


def say_to_stderr(replica: ReplicaId) -> Callable[[str], None]:
    """One line at a time, flushed: a supervisor may read it."""

    def say(text: str) -> None:
        print(f"replica {replica}: {text}", file=sys.stderr, flush=True)

    return say


def run_replica(directory: Path, replica: ReplicaId, *, data: Path | None = None, sync: Sync = "auto") -> None:
    """What `outvote run` does. Raises Mistake, BrokenStorage or Rot, each with a sentence."""
    say = say_to_stderr(replica)

    def ready(node: Node) -> None:
        if entry_of(load_genesis(directory)) is not protocol(node.turn.protocol):
            folder = replica_directory(directory, replica)
            keep_transcript(node.turn.core, folder, say)
        standing = node.turn.core.standing()
        host, port = load_genesis(directory).addresses()[replica]
        say(f"serving at {host}:{port}, process {os.getpid()}; view {standing.view}, position {standing.position}")

    if load_genesis(directory).tolerates == "crashes":
        say(CRASHES_ONLY)
    run_loop(serve(lambda: make_node(directory, replica, say=say, data=data, sync=sync), ready, say))


def run_one(directory: Path, replica: int, data: Path | None, supervised: bool) -> int:
    """Serve until told to stop. `supervised`: stop too when standard input ends, that is, with the supervisor."""
    if supervised:
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    try:
        if not supervised and load_genesis(directory).channel == "plain":
            endings.complain(PLAIN_WARNING)
        run_replica(directory, replica, data=data)
    except OutvoteError as error:
        return endings.ended_by(error)
    except KeyboardInterrupt:  # before or after the time when the signal is handled in order
        return endings.DONE
    except Exception as error:
        return endings.ended_by_defect(error, data or replica_directory(directory, replica) / "data")
    return endings.DONE


def _stop_at_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    signal.raise_signal(signal.SIGTERM) if sys.platform == "win32" else os.kill(os.getpid(), signal.SIGTERM)
