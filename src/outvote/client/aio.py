"""The asynchronous client: a user's calls on the outside, a Session and n connections inside.

Operations that are issued in one pass of the event loop travel as one request under one signature; while the
session's window is full they wait here, so the bundles grow with the load. Nothing is allocated per operation but
its future.

A client identity belongs to one process at a time. Its numbers start from the microseconds since 1970, so a
restarted process is above all numbers that it ever used, as long as the host's clock was not set back by more than
the time that the process was down. Processes that run at the same time each need their own identity: they would
use the same numbers for different requests.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from outvote.client.config import SessionConfig
from outvote.client.connections import REJECTION, Connections
from outvote.client.receipts import Receipt
from outvote.client.session import Answered, Session, bundle_size, check_operation
from outvote.client.stale import Stale, StaleReads
from outvote.configuration.files import PartyKeys, load_client_keys, load_genesis
from outvote.configuration.genesis import Genesis
from outvote.configuration.machine_class import load_machine
from outvote.crypto.authenticators import AuthenticatorSealer
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, Stamper, domain
from outvote.errors import Mistake, NotEnoughReplicas, Refused, Unanswered, UnknownOutcome
from outvote.machines.interface import CommandInterface, describe
from outvote.machines.machine import StateMachine
from outvote.machines.operations import TOO_LARGE
from outvote.types import NEVER, SECOND, Nanos, Position, ReplicaId
from outvote.wire.client_messages import (
    Ask,
    ReadReply,
    Refusal,
    Report,
    ToClient,
    ToReplica,
    Unread,
    encode_client_message,
)
from outvote.wire.frames import frame

WAITING_MAX: Final = 10_000  # operations that wait for the window; each holds a future and its bytes
STATUS_TIMEOUT_S: Final = 1.0
LONG_AGO_S: Final = 1e9  # 31 years
REMEMBERED_SEALS: Final = 256  # replies are verified once; a receipt shown again soon costs no crypto


class Answer(NamedTuple):
    """What f + 1 replicas agreed on."""

    value: Any
    position: Position  # place in the total order
    receipt: Receipt  # covers the whole request that the operation travelled in


class _Call:
    """One operation and who waits for it."""

    __slots__ = ("alone", "command", "deadline", "future", "operation", "proof")

    def __init__(
        self,
        command: CommandInterface,
        operation: bytes,
        future: asyncio.Future[Answer],
        deadline: Nanos,
        proof: bool,
    ) -> None:
        self.proof = proof  # whether a receipt is wanted
        self.command = command
        self.operation = operation
        self.future = future
        self.deadline = deadline
        self.alone = False  # its result did not fit beside those of others


class Proxy:
    """The commands and queries of one class as coroutine functions: `await counter.add(3)`."""

    def __init__(self, client: Client, machine: type[StateMachine]) -> None:
        for command in describe(machine).commands.values():
            setattr(self, command.name, _bound(client, command))


def _bound(client: Client, command: CommandInterface) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def operation(*args: Any, **kwargs: Any) -> Any:
        return (await client._start(command, args, kwargs, False)).value

    operation.__name__ = operation.__qualname__ = command.name
    operation.__doc__ = f"{command.signature()}\n\n{command.doc}"
    return operation


class Client:
    """Use `Client.connect`, not the constructor; then `async with`, or `close` at the end."""

    def __init__(
        self, genesis: Genesis, keys: PartyKeys, machine: type[StateMachine] | None, config: SessionConfig | None = None
    ) -> None:
        self.genesis = genesis
        self.name = next((entry.name for entry in genesis.clients if entry.id == keys.party), str(keys.party))
        self.committee = genesis.committee()
        self.config = msgspec.structs.replace(
            config or SessionConfig(first_number=time.time_ns() // 1000), reads=genesis.parameters.reads
        )
        self._identity = genesis.identity()
        seal_domain = domain(self._identity, genesis.epoch)
        signer = Ed25519Sealer(seal_domain, keys.signing)
        self._vector: AuthenticatorSealer | None = None
        if genesis.form == "authenticators":
            self._vector = AuthenticatorSealer(seal_domain, genesis.n, signer)
        self.session = Session(
            keys.party,
            self.committee,
            self._vector or (Stamper(secrets.token_bytes) if genesis.tolerates == "crashes" else signer),
            Ed25519Opener(seal_domain, genesis.public_keys(), REMEMBERED_SEALS),
            self.config,
        )
        self._interface = describe(machine or load_machine(genesis.machine))
        self._connections = Connections(genesis, keys, self)
        self._loop = asyncio.get_running_loop()
        self._stale = StaleReads(genesis, keys.party, time.monotonic_ns)
        self._calls: deque[_Call] = deque()
        self._bundles: dict[int, list[_Call]] = {}
        self._asks: dict[int, tuple[ReplicaId, asyncio.Future[Report]]] = {}
        self._last_nonce = 0
        self._pass_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Nanos = NEVER
        self._greeted: list[bool] = [False] * genesis.n  # replicas that said anything on this connection
        self._arrival = asyncio.Event()
        self._closed = False

    @classmethod
    async def connect(
        cls,
        where: str | Path | Genesis,
        name: str | None = None,
        machine: type[StateMachine] | None = None,
        *,
        keys: PartyKeys | None = None,
        config: SessionConfig | None = None,
        alone: bool = False,
    ) -> Client:
        """`where`: the cluster's directory, or a Genesis together with `keys`. `name`: the client, if the directory
        holds the keys of several. `machine`: the replicated class, if cluster.toml's cannot be imported here.

        Returns once a quorum of replicas speaks to this client, or one if it is to be `alone`: for `read_stale`. Raises
        Mistake for wrong configuration, Refused if the replicas do not know this client, NotEnoughReplicas after
        `config.timeout_ns`.
        """
        if isinstance(where, Genesis):
            if keys is None:
                raise Mistake("a Genesis alone has no keys: give keys=load_client_keys(directory), or the directory")
            genesis = where
        else:
            genesis = load_genesis(Path(where))
            keys = keys or load_client_keys(Path(where), name, genesis)
        client = cls(genesis, keys, machine, config)
        try:
            await client._meet(1 if alone else client.committee.quorum)
        except BaseException:
            await client.close()
            raise
        return client

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drops what is unanswered: those who wait get UnknownOutcome. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._stale.close()
        waiting = [call for calls in self._bundles.values() for call in calls] + list(self._calls)
        self._bundles.clear()
        self._calls.clear()
        for call in waiting:
            if not call.future.done():
                call.future.set_exception(UnknownOutcome("the client was closed before the answer came"))
        await self._connections.close()

    # ---- calls -------------------------------------------------------------------------------------------------

    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """The value of one command or query, as f + 1 replicas agreed on it.

        Raises Refused if the command refused, UnknownOutcome or NotEnoughReplicas if no answer was agreed on within
        twice `config.timeout_ns` (once waiting for the window, once for the answer), Mistake for wrong use.
        """
        return (await self._start(self._interface.command(name), args, kwargs, False)).value

    async def submit(self, name: str, /, *args: Any, **kwargs: Any) -> Answer:
        """Like `call`, with the position in the total order and a receipt, whose seals have been checked."""
        return await self._start(self._interface.command(name), args, kwargs, True)

    async def read_stale(
        self, name: str, /, *args: Any, within_s: float, replica: ReplicaId | None = None, proof: bool = False
    ) -> Stale:
        """What a query gives on the state of one replica, at most `within_s` old: learners first, unless one is named.

        For protocols in which nobody lies (Raft). Raises Mistake elsewhere and for wrong use, Refused if the query
        refused, NotEnoughReplicas if no replica knows that its state is so new. `proof`: with a receipt, which the
        replica has sealed: that it said so of the state of that position. Raises Lie if it proves nothing."""
        command = self._interface.command(name)
        operation = command.encode(args, {})
        check_operation(operation)
        if self._closed:
            raise Mistake("this client is closed: connect a new one")
        if not 0 < within_s <= LONG_AGO_S:
            raise Mistake(f"within_s is {within_s:g}: give more than 0 seconds, and {LONG_AGO_S:g} at most")
        if replica is not None and not self.committee.holds(replica):
            raise Mistake(f"there is no replica {replica}: the cluster has 0 to {self.committee.n - 1}")
        connected = self.session.is_connected
        order = self._stale.order(self.session.leader, connected) if replica is None else [replica]
        return await self._stale.ask(
            command, operation, int(within_s * SECOND), order, self.config.timeout_ns, self.session.reads.next_number,
            lambda to, read: self._write([(to, read)]), proof,
        )

    def of(self, machine: type[StateMachine]) -> Any:
        """A Proxy: each command and query of `machine` as a coroutine function."""
        return Proxy(self, machine)

    def _start(
        self, command: CommandInterface, args: tuple[Any, ...], kwargs: dict[str, Any], proof: bool
    ) -> asyncio.Future[Answer]:
        if self._closed:
            raise Mistake("this client is closed: connect a new one")
        operation = command.encode(args, kwargs)
        check_operation(operation)
        if len(self._calls) >= WAITING_MAX:
            raise Mistake(f"{WAITING_MAX} operations wait already: await some answers before you send more")
        future: asyncio.Future[Answer] = self._loop.create_future()
        deadline = time.monotonic_ns() + self.config.timeout_ns
        self._calls.append(_Call(command, operation, future, deadline, proof))
        if not self._pass_due:
            self._pass_due = True
            self._loop.call_soon(self._pass)
        return future

    async def status(self, timeout_s: float = STATUS_TIMEOUT_S) -> list[Report | None]:
        """What each replica says of itself, None for those that did not answer in time. Not agreed on."""
        futures: list[asyncio.Future[Report]] = []
        nonces: list[int] = []
        for replica in range(self.committee.n):
            future: asyncio.Future[Report] = self._loop.create_future()
            futures.append(future)
            if self._connections.is_open(replica):
                nonces.append(self._ask(replica, future))
            else:
                future.cancel()
        try:
            await asyncio.wait(futures, timeout=timeout_s)
        finally:
            for nonce in nonces:
                self._asks.pop(nonce, None)
        return [f.result() if f.done() and not f.cancelled() else None for f in futures]

    def _ask(self, replica: ReplicaId, future: asyncio.Future[Report] | None) -> int:
        self._last_nonce += 1
        if future is not None:
            self._asks[self._last_nonce] = (replica, future)
        self._connections.send(replica, frame(encode_client_message(Ask(self._last_nonce))))
        return self._last_nonce

    # ---- one pass of the loop ----------------------------------------------------------------------------------

    def _pass(self) -> None:
        """Bundle what was called, write what the session wants sent: one write a replica."""
        self._pass_due = False
        if self._closed:
            return
        now = time.monotonic_ns()
        calls = self._calls
        session = self.session
        while calls and session.room > 0:
            together = 1 if calls[0].alone else bundle_size(c.operation for c in takewhile(_shares, calls))
            bundle = [calls.popleft() for _ in range(together)]
            bundle = [call for call in bundle if not call.future.done()]  # cancelled before they left
            if bundle:
                operations = [call.operation for call in bundle]
                if all(call.command.fast and not call.proof for call in bundle):
                    number = session.read(operations, now)
                else:
                    number = session.submit(operations, now, any(call.proof for call in bundle))
                self._bundles[number] = bundle
        self._write(session.take_outgoing())
        self._set_timer(now)

    def _write(self, outgoing: list[tuple[ReplicaId, ToReplica]]) -> None:
        frames: dict[ReplicaId, list[bytes]] = {}
        last: ToReplica | None = None
        encoded = b""
        for replica, message in outgoing:
            if message is not last:  # copies for several replicas come one after the other
                encoded = frame(encode_client_message(message))
                last = message
            frames.setdefault(replica, []).append(encoded)
        for replica, parts in frames.items():
            self._connections.send(replica, b"".join(parts) if len(parts) > 1 else parts[0])

    def _schedule(self) -> None:
        if not self._pass_due and not self._closed:
            self._pass_due = True
            self._loop.call_soon(self._pass)

    def _set_timer(self, now: Nanos) -> None:
        at = self.session.next_deadline()
        if self._calls:
            at = min(at, self._calls[0].deadline)
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_later(max(0, at - now) / SECOND, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._timer_at = NEVER
        if self._closed:
            return
        now = time.monotonic_ns()
        for failed in self.session.tick(now):
            for call in self._bundles.pop(failed.number, ()):
                if not call.future.done():
                    call.future.set_exception(self._explained(failed.error))
        while self._calls and self._calls[0].deadline <= now:
            call = self._calls.popleft()
            if not call.future.done():
                call.future.set_exception(
                    NotEnoughReplicas("the cluster is stalled: the operation was never sent", may_execute=False)
                )
        self._pass()

    def _explained(self, error: Unanswered) -> Unanswered:
        """A fresh exception for each caller, since each gets its own traceback."""
        text = str(error)
        if isinstance(error, NotEnoughReplicas):
            return NotEnoughReplicas(text + self._absences(), error.may_execute)
        return type(error)(text)

    def _absences(self) -> str:
        return "".join(
            f"; replica {replica}: {problem}"
            for replica, problem in self._connections.problems.items()
            if not self._connections.is_open(replica)
        )

    # ---- what the connections tell -----------------------------------------------------------------------------

    def opened(self, replica: ReplicaId) -> None:
        self._greeted[replica] = False
        self._ask(replica, None)  # TLS 1.3 tells a client that it is unknown only when it reads
        self.session.connected(replica)
        self._schedule()

    def keyed(self, replica: ReplicaId, key: bytes) -> None:
        if self._vector is not None:
            self._vector.renew(replica, key)

    def refresh_keys(self) -> None:
        """Have all session keys agreed on anew, now; the replicas refuse the old ones afterwards."""
        self._connections.refresh_keys()

    def lost(self, replica: ReplicaId) -> None:
        self._greeted[replica] = False
        if self._vector is not None:
            self._vector.forget(replica)
        self.session.disconnected(replica)
        self._arrival.set()

    def heard(self, replica: ReplicaId, message: ToClient) -> None:
        if not self._greeted[replica] and not (type(message) is Refusal and message.number == 0):
            self._greeted[replica] = True
            self._arrival.set()
        if type(message) is Report:
            asked = self._asks.get(message.nonce)
            mine = asked is not None and asked[0] == replica == message.replica
            if asked is not None and mine and not asked[1].done():
                asked[1].set_result(message)
            return
        if isinstance(message, (ReadReply, Unread)) and self._stale.heard(replica, message):
            return
        for answered in self.session.receive(replica, message, time.monotonic_ns()):
            self._settle(answered)
        if self.session.has_outgoing:  # a read that has to be ordered, for one
            self._schedule()
        if type(message) is Refusal:
            self._arrival.set()
            self._set_timer(time.monotonic_ns())
        if self._calls:
            self._schedule()

    def _settle(self, answered: Answered) -> None:
        calls = self._bundles.pop(answered.number, None)
        if calls is None:
            return
        statement = answered.statement
        position = statement.position
        receipt = Receipt(self._identity, self.genesis.epoch, statement, answered.seals)
        results = statement.results
        for index, call in enumerate(calls):
            future = call.future
            if future.done():
                continue
            if len(calls) > 1 and call.command.query and results[index : index + 1] == (TOO_LARGE,):
                call.alone = True  # a query may be asked twice; a command's lost result cannot be helped
                self._calls.append(call)
                continue
            try:
                value = call.command.decode(results[index])
            except (Refused, Mistake) as error:
                future.set_exception(error)
            except IndexError:
                future.set_exception(Mistake("too few results: run one version of outvote on all hosts"))
            else:
                future.set_result(Answer(value, position, receipt))

    # ---- the beginning -----------------------------------------------------------------------------------------

    async def _meet(self, needed: int) -> None:
        """Wait until so many replicas speak to us."""
        self._connections.start()
        deadline = self._loop.time() + self.config.timeout_ns / SECOND
        while sum(self._greeted) < needed:
            rejected = [p for p in self._connections.problems.values() if REJECTION in p]
            rejected += self.session.connection_refusals.values()
            if len(rejected) > self.committee.n - needed:
                raise Refused(f"{len(rejected)} replicas do not talk to client {self.name}: {rejected[0]}")
            left = deadline - self._loop.time()
            if left <= 0:
                raise NotEnoughReplicas(
                    f"{sum(self._greeted)} of the {self.committee.n} replicas of {self.genesis.name} answered, "
                    f"{needed} {'is' if needed == 1 else 'are'} needed{self._absences()}",
                    may_execute=False,
                )
            self._arrival.clear()
            try:
                async with asyncio.timeout(left):
                    await self._arrival.wait()
            except TimeoutError:
                continue


def _shares(call: _Call) -> bool:
    return not call.alone


class Connecting:
    """What `connect` returns: for `async with`, so that the client is closed at the end."""

    def __init__(
        self, where: str | Path | Genesis, machine: type[StateMachine] | None, name: str | None
    ) -> None:
        self._where = where
        self._machine = machine
        self._name = name
        self._client: Client | None = None

    async def __aenter__(self) -> Any:
        self._client = await Client.connect(self._where, self._name, self._machine)
        return self._client if self._machine is None else self._client.of(self._machine)

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()


def connect(
    where: str | Path | Genesis, machine: type[StateMachine] | None = None, name: str | None = None
) -> Connecting:
    """A Proxy of `machine` that closes with the block; or the Client itself if no class is given."""
    return Connecting(where, machine, name)
