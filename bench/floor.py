"""The floor: how fast the three phases of PBFT can be at all in this Python, on this machine, with nothing else.

n replica processes on the loopback device and one client process, which keeps a number of requests
outstanding; each request puts one value. Frames carry a keyed BLAKE2b code, replica 0 always leads, a batch takes what
is waiting, two batches are in flight at most. No TLS, disk, signature, view change, checkpoint, retransmission, reply
cache or state digest; votes carry the batch's digest and nobody compares it. A real cluster cannot reach these figures:
quote its speed as a share of them, both measured in turn on one machine.

    python bench/floor.py --outstanding 64 --json

`run` does the same from Python. Replicas choose their own ports. Needs fork, so not Windows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import blake2b
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from uvloop import run as run_loop

KEY: Final = b"one key for all; the floor has no enemies"
CODE_BYTES: Final = 16
HEADER_BYTES: Final = 4 + CODE_BYTES
BATCH_MAX: Final = 400  # requests
IN_FLIGHT_MAX: Final = 2  # batches
SLOTS_KEPT: Final = 200  # late votes for an executed slot must find it, not open a new one
KEYS: Final = 10_000  # different keys that the client writes
CLIENT: Final = -1
LEADER: Final = 0
CONNECTED_WITHIN_S: Final = 20


class Body(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a frame carries."""


class Hello(Body, frozen=True, gc=False, array_like=True, tag=0):
    sender: int  # CLIENT or a replica


class Put(msgspec.Struct, frozen=True, gc=False, array_like=True):
    key: bytes
    value: bytes


class Request(Body, frozen=True, gc=False, array_like=True, tag=1):
    number: int
    operations: list[Put]


class PrePrepare(Body, frozen=True, gc=False, array_like=True, tag=2):
    position: int
    batch: list[Request]


class Prepare(Body, frozen=True, gc=False, array_like=True, tag=3):
    position: int
    digest: bytes
    sender: int


class Commit(Body, frozen=True, gc=False, array_like=True, tag=4):
    position: int
    digest: bytes
    sender: int


class Replies(Body, frozen=True, gc=False, array_like=True, tag=5):
    sender: int
    results: list[tuple[int, list[int]]]  # a request's number, the position of each of its operations


AnyBody: TypeAlias = Hello | Request | PrePrepare | Prepare | Commit | Replies
encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(AnyBody).decode


def frame(body: Body) -> bytes:
    """Length of what follows, code, body."""
    encoded = encode(body)
    code = blake2b(encoded, key=KEY, digest_size=CODE_BYTES).digest()
    return (len(encoded) + CODE_BYTES).to_bytes(4, "little") + code + encoded


class Link(asyncio.Protocol):
    """One connection. What is sent within one pass of the event loop leaves in one write."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_body: Callable[[Link, AnyBody], None]) -> None:
        self.loop = loop
        self.on_body = on_body
        self.received = bytearray()
        self.waiting: list[bytes] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # uvloop's transports are no asyncio.Transport, though they do all that one does
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        received = self.received
        received += data
        start, end = 0, len(received)
        while end - start >= HEADER_BYTES:
            stop = start + 4 + int.from_bytes(received[start : start + 4], "little")
            if stop > end:
                break
            encoded = bytes(received[start + HEADER_BYTES : stop])
            code = blake2b(encoded, key=KEY, digest_size=CODE_BYTES).digest()
            if code == received[start + 4 : start + HEADER_BYTES]:
                self.on_body(self, decode(encoded))
            start = stop
        del received[:start]

    def send(self, framed: bytes) -> None:
        if not self.waiting:
            self.loop.call_soon(self.flush)
        self.waiting.append(framed)

    def flush(self) -> None:
        if self.transport is not None:
            self.transport.write(b"".join(self.waiting))
        self.waiting.clear()


class Slot:
    """One position: bit i of `prepares` and `commits` is replica i's vote."""

    __slots__ = ("batch", "commits", "committed", "digest", "prepared", "prepares")

    def __init__(self) -> None:
        self.batch: list[Request] | None = None
        self.digest = b""
        self.prepares = 0
        self.commits = 0
        self.prepared = False
        self.committed = False


class Replica:
    """The normal case and nothing else."""

    def __init__(self, loop: asyncio.AbstractEventLoop, me: int, n: int) -> None:
        self.loop = loop
        self.me = me
        self.others = n - 1
        self.faults = (n - 1) // 3
        self.peers: dict[int, Link] = {}
        self.client: Link | None = None
        self.connected = asyncio.Event()
        self.pending: list[Request] = []
        self.slots: dict[int, Slot] = {}
        self.store: dict[bytes, bytes] = {}
        self.proposed = self.executed = self.in_flight = self.operations = 0
        self.proposing = False

    def on_body(self, link: Link, body: AnyBody) -> None:
        if isinstance(body, Prepare):
            slot = self.slot(body.position)
            slot.prepares |= 1 << body.sender
            self.advance(body.position, slot)
        elif isinstance(body, Commit):
            slot = self.slot(body.position)
            slot.commits |= 1 << body.sender
            self.advance(body.position, slot)
        elif isinstance(body, Request):
            self.pending.append(body)
            self.propose_soon()
        elif isinstance(body, PrePrepare):
            self.accept(body.position, body.batch)
        elif isinstance(body, Hello):
            self.meet(link, body.sender)

    def meet(self, link: Link, sender: int) -> None:
        if sender == CLIENT:
            self.client = link
            return
        self.peers[sender] = link
        if len(self.peers) == self.others:
            self.connected.set()

    def multicast(self, body: Body) -> None:
        framed = frame(body)
        for link in self.peers.values():
            link.send(framed)

    def slot(self, position: int) -> Slot:
        slot = self.slots.get(position)
        if slot is None:
            slot = self.slots[position] = Slot()
        return slot

    def propose_soon(self) -> None:
        """At the end of this pass of the loop, so that a batch takes all that came with one read."""
        if not self.proposing:
            self.proposing = True
            self.loop.call_soon(self.propose)

    def propose(self) -> None:
        self.proposing = False
        while self.pending and self.in_flight < IN_FLIGHT_MAX:
            batch = self.pending[:BATCH_MAX]
            del self.pending[:BATCH_MAX]
            self.proposed += 1
            self.in_flight += 1
            self.multicast(PrePrepare(self.proposed, batch))
            self.accept(self.proposed, batch)

    def accept(self, position: int, batch: list[Request]) -> None:
        slot = self.slot(position)
        slot.batch = batch
        slot.digest = blake2b(encode(batch), digest_size=32).digest()
        if self.me != LEADER:
            self.multicast(Prepare(position, slot.digest, self.me))
            slot.prepares |= 1 << self.me
        self.advance(position, slot)

    def advance(self, position: int, slot: Slot) -> None:
        if slot.batch is None:
            return
        if not slot.prepared and slot.prepares.bit_count() >= 2 * self.faults:
            slot.prepared = True
            self.multicast(Commit(position, slot.digest, self.me))
            slot.commits |= 1 << self.me
        if slot.prepared and not slot.committed and slot.commits.bit_count() > 2 * self.faults:
            slot.committed = True
            self.execute()

    def execute(self) -> None:
        while True:
            slot = self.slots.get(self.executed + 1)
            if slot is None or slot.batch is None or not slot.committed:
                return
            self.executed += 1
            results: list[tuple[int, list[int]]] = []
            for request in slot.batch:
                for operation in request.operations:
                    self.store[operation.key] = operation.value
                self.operations += len(request.operations)
                results.append((request.number, [self.executed] * len(request.operations)))
            if self.client is not None:
                self.client.send(frame(Replies(self.me, results)))
            self.slots.pop(self.executed - SLOTS_KEPT, None)
            if self.me == LEADER:
                self.in_flight -= 1
                if self.pending:
                    self.propose_soon()


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def serve(me: int, n: int, conductor: Connection) -> None:
    """One replica. Says its port, is told everybody's, says that it is connected, is told to stop, reports."""
    loop = asyncio.get_running_loop()
    replica = Replica(loop, me, n)
    server = await loop.create_server(lambda: Link(loop, replica.on_body), "127.0.0.1", 0)
    conductor.send(server.sockets[0].getsockname()[1])
    ports = json.loads(await told(loop, conductor))
    for peer in range(me):
        _, link = await loop.create_connection(lambda: Link(loop, replica.on_body), "127.0.0.1", ports[peer])
        link.send(frame(Hello(me)))
        replica.meet(link, peer)
    if replica.others:
        await asyncio.wait_for(replica.connected.wait(), CONNECTED_WITHIN_S)
    conductor.send("connected")
    before = cpu_s()
    await told(loop, conductor)
    conductor.send(round((cpu_s() - before) / max(1, replica.operations) * 1e6, 2))


async def told(loop: asyncio.AbstractEventLoop, conductor: Connection) -> str:
    """The conductor's next word, waited for without a second thread: that would slow the first one's locks down."""
    readable = loop.create_future()
    loop.add_reader(conductor.fileno(), readable.set_result, None)
    await readable
    loop.remove_reader(conductor.fileno())
    return str(conductor.recv())


def serve_process(me: int, n: int, conductor: Connection) -> None:
    run_loop(serve(me, n, conductor))


class Client:
    """Keeps `outstanding` requests under way and takes a result when f + 1 replicas have sent the same number back."""

    def __init__(self, n: int, value: bytes) -> None:
        self.enough = (n - 1) // 3 + 1
        self.value = value
        self.number = 0
        self.waiting: dict[int, asyncio.Future[None]] = {}
        self.answers: dict[int, int] = {}
        self.latencies_s: list[float] = []

    def on_body(self, _: Link, body: AnyBody) -> None:
        if not isinstance(body, Replies):
            return
        for number, _positions in body.results:
            if number in self.waiting:
                self.answers[number] += 1
                if self.answers[number] == self.enough:
                    del self.answers[number]
                    self.waiting.pop(number).set_result(None)

    async def keep_asking(self, leader: Link, until: float) -> None:
        loop = asyncio.get_running_loop()
        while (began := time.perf_counter()) < until:
            self.number += 1
            number = self.number
            future: asyncio.Future[None] = loop.create_future()
            self.waiting[number] = future
            self.answers[number] = 0
            leader.send(frame(Request(number, [Put(b"key%d" % (number % KEYS), self.value)])))
            await future
            self.latencies_s.append(time.perf_counter() - began)


async def ask(ports: list[int], outstanding: int, seconds: float, value_bytes: int) -> dict[str, float]:
    """The client's side of a run."""
    loop = asyncio.get_running_loop()
    client = Client(len(ports), b"v" * value_bytes)
    links: list[Link] = []
    for port in ports:
        _, link = await loop.create_connection(lambda: Link(loop, client.on_body), "127.0.0.1", port)
        link.send(frame(Hello(CLIENT)))
        links.append(link)
    # A replica that has not heard Hello yet would execute without answering; f + 1 answers come from the others.
    began, before = time.perf_counter(), cpu_s()
    await asyncio.gather(*(client.keep_asking(links[LEADER], began + seconds) for _ in range(outstanding)))
    elapsed = time.perf_counter() - began
    latencies = sorted(client.latencies_s)
    return {
        "ops_per_s": round(len(latencies) / elapsed),
        "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 3),
        "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1e3, 3),
        "client_cpu_us_per_op": round((cpu_s() - before) / len(latencies) * 1e6, 2),
    }


def conduct(n: int, outstanding: int, seconds: float, value_bytes: int) -> dict[str, object]:
    """Start the replicas, be the client, collect the figures.

    Replicas are forked: processes that share their pages share the processor's caches too, which saves a third of the
    CPU time at one request outstanding. A real cluster is started separately and lacks that, so the bar is a high one.
    """
    context = get_context("fork")
    lines = [context.Pipe() for _ in range(n)]
    replicas = [context.Process(target=serve_process, args=(me, n, lines[me][1]), daemon=True) for me in range(n)]
    for replica, (_, theirs) in zip(replicas, lines, strict=True):
        replica.start()
        theirs.close()
    ours = [line for line, _ in lines]
    ports: list[int] = [heard(line) for line in ours]
    for line in ours:
        line.send(json.dumps(ports))
    for line in ours:
        heard(line)
    measured = run_loop(ask(ports, outstanding, seconds, value_bytes))
    for line in ours:
        line.send("stop")
    costs = [heard(line) for line in ours]
    for replica in replicas:
        replica.join()
    settings = {"n": n, "outstanding": outstanding, "value_bytes": value_bytes}
    return {**settings, **measured, "replica_cpu_us_per_op": costs}


def heard(line: Connection) -> Any:
    """A replica's next word. Raises SystemExit if it says nothing for so long that it must have failed."""
    if not line.poll(CONNECTED_WITHIN_S):
        raise SystemExit("a replica of the floor program does not answer")
    try:
        return line.recv()
    except EOFError:
        raise SystemExit("a replica of the floor program ended early; its reason stands above") from None


def run(n: int = 4, outstanding: int = 64, seconds: float = 5.0, value_bytes: int = 100) -> dict[str, Any]:
    """Measure once, in a process of its own. Raises subprocess.CalledProcessError if that fails."""
    settings = {"n": n, "outstanding": outstanding, "seconds": seconds, "value-bytes": value_bytes}
    command = [sys.executable, str(Path(__file__).resolve()), "--json"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    measured: dict[str, Any] = json.loads(finished.stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description="The bare normal case of PBFT: an upper bound for this machine.")
    parser.add_argument("--n", type=int, default=4, help="replicas")
    parser.add_argument("--outstanding", type=int, default=64, help="requests under way at once")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    measured = conduct(arguments.n, arguments.outstanding, arguments.seconds, arguments.value_bytes)
    if arguments.json:
        sys.stdout.write(json.dumps(measured) + "\n")
        return
    for name, value in measured.items():
        sys.stdout.write(f"{name:<24}{value}\n")


if __name__ == "__main__":
    main()
