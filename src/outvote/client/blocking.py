"""The client without `await`: the asynchronous one on an event loop in a thread of its own.

May be used from several threads at once; what they call at the same time is bundled like any other calls.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from outvote.client.aio import STATUS_TIMEOUT_S, Answer, Client
from outvote.client.config import SessionConfig
from outvote.client.stale import Stale
from outvote.configuration.files import PartyKeys
from outvote.configuration.genesis import Genesis
from outvote.errors import Mistake
from outvote.machines.interface import describe
from outvote.machines.machine import StateMachine
from outvote.types import ReplicaId
from outvote.wire.client_messages import Report

T = TypeVar("T")


class BlockingProxy:
    """The commands and queries of one class as plain functions: `counter.add(3)`."""

    def __init__(self, client: BlockingClient, machine: type[StateMachine]) -> None:
        proxy = client._client.of(machine)
        for name in describe(machine).commands:
            setattr(self, name, _waiting(client, getattr(proxy, name)))


def _waiting(client: BlockingClient, function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    def operation(*args: Any, **kwargs: Any) -> Any:
        return client._run(function(*args, **kwargs))

    operation.__name__ = operation.__qualname__ = function.__name__
    operation.__doc__ = function.__doc__
    return operation


class BlockingClient:
    """Connects when constructed; use it in a `with`, or call `close`. Same arguments and errors as `Client`."""

    def __init__(
        self,
        where: str | Path | Genesis,
        name: str | None = None,
        machine: type[StateMachine] | None = None,
        *,
        keys: PartyKeys | None = None,
        config: SessionConfig | None = None,
    ) -> None:
        self._closed = False
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="outvote client", daemon=True)
        self._thread.start()
        try:
            self._client = self._run(Client.connect(where, name, machine, keys=keys, config=config))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self._run(self._client.call(name, *args, **kwargs))

    def submit(self, name: str, /, *args: Any, **kwargs: Any) -> Answer:
        return self._run(self._client.submit(name, *args, **kwargs))

    def read_stale(
        self, name: str, /, *args: Any, within_s: float, replica: ReplicaId | None = None, proof: bool = False
    ) -> Stale:
        return self._run(self._client.read_stale(name, *args, within_s=within_s, replica=replica, proof=proof))

    def of(self, machine: type[StateMachine]) -> Any:
        """A BlockingProxy: each command and query of `machine` as a plain function."""
        return BlockingProxy(self, machine)

    def status(self, timeout_s: float = STATUS_TIMEOUT_S) -> list[Report | None]:
        return self._run(self._client.status(timeout_s))

    def close(self) -> None:
        """May be called twice, and from any thread; calls under way in other threads get UnknownOutcome."""
        with self._lock:
            if self._closed:
                return
            self._run(self._client.close())
            self._stop()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise Mistake("this client is closed: connect a new one")
        if threading.current_thread() is self._thread:
            work.close()
            raise Mistake("a blocking call in the client's own thread would wait for itself: use Client there")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C in the caller: do not leave the call behind
            raise

    def _stop(self) -> None:
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
