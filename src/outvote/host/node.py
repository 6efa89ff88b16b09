"""One replica as a process: the turn on asyncio's clock, real links and a real disk.

The turn runs at most once a pass of the event loop, over everything that came in during the pass: so inputs are
batched by load, every peer gets one write, and one sync covers many promises.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from outvote.configuration.files import PartyKeys
from outvote.configuration.genesis import Genesis
from outvote.core.contract import Core, Message, Record
from outvote.core.quorums import quorum
from outvote.crypto.authenticators import AuthenticatorOpener, authenticator_bytes
from outvote.crypto.seals import STAMP_BYTES, ChannelOpener, Ed25519Opener, Ed25519Sealer, domain
from outvote.errors import BrokenStorage, Lie
from outvote.host.jobs import BetweenPasses, Worker
from outvote.host.links import Links
from outvote.host.turn import Turn
from outvote.host.voice import Voice
from outvote.machines.contract import Machine
from outvote.machines.executor import Executor
from outvote.machines.state_transfer import TRANSFER_MESSAGES
from outvote.observe.journal import Journal
from outvote.observe.surroundings import surroundings
from outvote.storage.ceiling import CEILING_NAME, DurableCeiling
from outvote.storage.directory import DirectoryDisk, Sync
from outvote.types import NEVER, SEAL_BYTES, SECOND, ClientId, Nanos, ReplicaId
from outvote.wire.client_messages import Ask, Order, Read, Submit, ToReplica
from outvote.wire.codec import Codec, RecordCodec

# Who has caused more useless work than its budget is not read from for so long: what it sends waits at its own end, and
# costs nothing here.
PAUSE_S: Final = 1.0


class HostClock:
    """The machine's clocks."""

    def now(self) -> Nanos:
        return time.monotonic_ns()

    def wall(self) -> Nanos:
        return time.time_ns()


def signatures_of(genesis: Genesis, seal_domain: bytes) -> Ed25519Opener:
    """A view change quotes a quorum of votes for each position of the window: two generations hold them twice."""
    return Ed25519Opener(seal_domain, genesis.public_keys(), genesis.parameters.window * (quorum(genesis.n) + 1))


def request_seal_bytes(genesis: Genesis) -> tuple[int, ...]:
    """How long clients' seals may be: signatures, and authenticators where the form has them, or stamps where nobody
    lies."""
    if genesis.tolerates == "crashes":
        return STAMP_BYTES, SEAL_BYTES
    return (SEAL_BYTES, authenticator_bytes(genesis.n)) if genesis.form == "authenticators" else (SEAL_BYTES,)


class Node:
    """Start, serve, stop. `finished` ends with the error that stopped the replica, or with None after `stop`."""

    def __init__(
        self,
        genesis: Genesis,
        keys: PartyKeys,
        *,
        core: Core,
        messages: Sequence[type[Message]],
        records: Sequence[type[Record]],
        machine: Machine,
        sealing: bool = True,
        say: Callable[[str], None],
        data: Path | None = None,
        sync: Sync = "auto",
        listen: tuple[str, int] | None = None,
        voice_of: Callable[[Voice], Voice] | None = None,
        worker: Sequence[str] = (),
    ) -> None:
        """`core`: of the genesis's protocol. `sealing`: whether its replicas sign what they promise. `data`: the log's
        directory, beside the keys unless given. `voice_of`: replaces the honest voice, for demonstrations with a
        traitor. `worker`: the command line of a process for the core's jobs; without it they are done between passes of
        the loop. Needs a running event loop."""
        self._loop, self._surroundings = asyncio.get_running_loop(), surroundings(type(machine))
        self.journal = Journal(say, (data or keys.data) / "evidence")
        cluster = genesis.identity()
        seal_domain = domain(cluster, genesis.epoch)
        codec = Codec((*messages, *TRANSFER_MESSAGES), genesis.epoch, sealing)
        signatures = signatures_of(genesis, seal_domain)
        authenticators = None
        if genesis.form == "authenticators":
            authenticators = AuthenticatorOpener(keys.party, genesis.n, seal_domain, signatures)
        self._links = Links(
            genesis,
            keys,
            self.journal,
            on_replica_frame=self._on_replica_frame,
            on_client_message=self._on_client_message,
            client_keys=authenticators,
            request_seal_bytes=request_seal_bytes(genesis),
            listen=listen,
            ceiling=DurableCeiling((data or keys.data) / CEILING_NAME, say),
        )
        self._worker = Worker(worker, core, self._computed, say) if worker else None
        executor = Executor(machine)
        self._disk = DirectoryDisk(
            data or keys.data, cluster, keys.party, sync=sync, post=self._post, report=say, nodes=executor.stored
        )
        self._disk.on_durable = self._poke
        voice = Voice(keys.party, genesis.n, Ed25519Sealer(seal_domain, keys.signing), codec, self._links)
        self.turn = Turn(
            core, executor,
            protocol=genesis.entry, codec=codec,
            records=RecordCodec(records),
            voice=voice_of(voice) if voice_of is not None else voice,
            opener=authenticators or (ChannelOpener(signatures) if genesis.tolerates == "crashes" else signatures),
            disk=self._disk,
            clock=HostClock(),
            observer=self.journal,
            jobs=self._worker or BetweenPasses(core, self._computed),
        )
        self.finished: asyncio.Future[None] = self._loop.create_future()
        self._scheduled = self._open = False
        self._wake_at: Nanos = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._paused: dict[ClientId, asyncio.TimerHandle] = {}

    async def start(self) -> None:
        """Recover from the disk, then listen. Raises Mistake, Rot or BrokenStorage, each with a sentence."""
        try:
            self.turn.recover()
            if self._worker is not None:
                await self._worker.start()
            await self._links.start()
        except BaseException:
            await self._links.stop()
            if self._worker is not None:
                await self._worker.stop()
            self._disk.close()
            raise
        self._open = True
        self._poke()

    async def stop(self) -> None:
        """Stop in order. Nothing depends on it: a kill loses no promise."""
        was_open, self._open = self._open, False
        for handle in self._paused.values():
            handle.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await self._links.stop()
        if self._worker is not None:
            await self._worker.stop()
        if was_open:
            try:
                self._disk.close()
            except BrokenStorage as error:
                self.journal.note(str(error))
        if not self.finished.done():
            self.finished.set_result(None)

    def refresh_keys(self) -> None:
        """Have all session keys agreed on anew; the old ones are refused afterwards."""
        self._links.refresh_keys()

    def counters(self) -> dict[str, int]:
        return {**self.journal.counters, **self.turn.counters}

    def _on_replica_frame(self, replica: ReplicaId, body: bytes) -> None:
        try:
            self.turn.hear(replica, body)
        except Lie as lie:
            self.journal.lie(replica, "frame", str(lie))
        self._poke()

    def _on_client_message(self, client: ClientId, message: ToReplica) -> None:
        if isinstance(message, Submit):
            refusal = self.turn.request(client, message.request)
            if refusal is not None:
                self._links.answer(client, refusal)
            if self.turn.overdrawn(client) and client not in self._paused:
                self._paused[client] = self._loop.call_later(PAUSE_S, self._go_on_reading, client)
                self._links.pause(client)
            self._poke()
        elif isinstance(message, Read):
            unread = self.turn.read(client, message)
            if unread is not None:
                self._links.answer(client, unread)
            self._poke()
        elif isinstance(message, Order):
            self._links.answer(client, self.turn.order(client, message))
            self._poke()
        elif isinstance(message, Ask):
            report = self.turn.report(message, self.journal.counters)
            self._links.answer(client, msgspec.structs.replace(report, surroundings=self._surroundings))

    def _go_on_reading(self, client: ClientId) -> None:
        del self._paused[client]
        if self._open:
            self._links.resume(client)

    def _computed(self, ticket: int, answer: bytes) -> None:
        self.turn.computed(ticket, answer)
        self._poke()

    def _post(self, action: Callable[[], None]) -> None:
        """From the disk's thread to ours."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(action)

    def _poke(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        if not self._open:
            return
        self._links.flush_follows()
        try:
            wake_at = self.turn.run()
        except BrokenStorage as error:
            self._fail(error)
            return
        except Exception as error:
            self._fail(error)
            return
        self._links.flush(self.turn.urgent)
        if wake_at != self._wake_at:
            self._arm(wake_at)

    def _arm(self, wake_at: Nanos) -> None:
        self._wake_at = wake_at
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_at < NEVER:
            delay = max(0, wake_at - time.monotonic_ns()) / SECOND
            self._timer = self._loop.call_later(delay, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self._wake_at = NEVER
        self._poke()

    def _fail(self, error: Exception) -> None:
        """Say nothing more: a promise that may not be durable must not be followed by another."""
        self._open = False
        if not self.finished.done():
            self.finished.set_exception(error)
