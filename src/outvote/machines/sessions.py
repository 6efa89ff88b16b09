"""At most once: which requests of each client were executed, and what was answered. Part of the replicated state.

Invariant: a number is executed if and only if it was not executed before, lies above the client's low mark and at
most OUTSTANDING_MAX above it, where the request's own `acknowledged` raises the low mark first. The low mark never
falls. So the table of one client never holds more than OUTSTANDING_MAX numbers, and the table as a whole is bounded by
the number of clients in the genesis.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from outvote.core.contract import Request
from outvote.errors import Lie
from outvote.types import ClientId, Position, Size
from outvote.wire.client_messages import OUTSTANDING_MAX, ReplyStatement

KEPT_BYTES_MAX: Final = 1024 * 1024  # results kept for one client: four of the largest; 1000 clients: 1 GiB at worst

_Row = tuple[int, Position, tuple[bytes, ...] | None]  # number, position, results (None once dropped)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, list[_Row]]).decode


class Session:
    """One client: numbers up to `low` are settled; `executed` holds those above it, oldest execution first."""

    __slots__ = ("executed", "kept_bytes", "low")

    def __init__(self, low: int) -> None:
        self.low = low
        self.executed: dict[int, ReplyStatement | Position] = {}  # a bare position: the results were dropped
        self.kept_bytes = 0


class Sessions:
    """The table of all clients that ever had a request executed."""

    __slots__ = ("_clients", "_touched")

    def __init__(self) -> None:
        self._clients: dict[ClientId, Session] = {}
        self._touched: dict[ClientId, None] = {}  # since their rows were last asked for

    def executed_already(self, client: ClientId, number: int) -> bool:
        """Whether the request was executed, or was given up by its client, who acknowledged its number."""
        session = self._clients.get(client)
        return session is not None and (number <= session.low or number in session.executed)

    def executable(self, request: Request) -> bool:
        """Whether a request is to be executed now. Its own `acknowledged` counts first: a client whose process
        began anew starts its numbers far above the old ones, and says so by acknowledging all that came before."""
        number = request.number
        session = self._clients.get(request.client)
        low = max(session.low if session is not None else 0, min(request.acknowledged, number - 1))
        return low < number <= low + OUTSTANDING_MAX and (session is None or number not in session.executed)

    def cached(self, client: ClientId, number: int) -> ReplyStatement | None:
        """The answer that was given, while it is kept."""
        session = self._clients.get(client)
        if session is None:
            return None
        answer = session.executed.get(number)
        return answer if isinstance(answer, ReplyStatement) else None

    def record(self, request: Request, answer: ReplyStatement) -> None:
        """The executable request was executed. Its `acknowledged` moves the low mark, to number - 1 at most."""
        session = self._clients.get(request.client)
        if session is None:
            session = self._clients[request.client] = Session(0)
        self._touched[request.client] = None
        executed = session.executed
        executed[request.number] = answer
        session.kept_bytes += _size_bytes(answer)
        settled = min(request.acknowledged, request.number - 1)
        for number in [number for number in executed if number <= settled]:  # OUTSTANDING_MAX at most
            forgotten = executed.pop(number, None)
            if isinstance(forgotten, ReplyStatement):
                session.kept_bytes -= _size_bytes(forgotten)
        session.low = max(session.low, settled)
        if session.kept_bytes > KEPT_BYTES_MAX:
            _drop_oldest(session)

    def sizes(self) -> Iterator[Size]:
        """What is held of each client, and its limits."""
        for session in self._clients.values():
            yield "executed requests of a client", len(session.executed), OUTSTANDING_MAX
            yield "bytes of results of a client", session.kept_bytes, KEPT_BYTES_MAX

    def low_marks(self) -> dict[ClientId, int]:
        """Up to which number each client's requests are settled."""
        return {client: session.low for client, session in self._clients.items()}

    def touched(self) -> list[ClientId]:
        """The clients whose rows have changed since this was last asked."""
        touched, self._touched = self._touched, {}
        return list(touched)

    def row(self, client: ClientId) -> bytes:
        """One client's session as it is written down: its executions in order."""
        session = self._clients[client]
        executed: list[_Row] = []
        for number, answer in session.executed.items():
            if isinstance(answer, ReplyStatement):
                executed.append((number, answer.position, answer.results))
            else:
                executed.append((number, answer, None))
        return _encode((session.low, executed))

    def take_row(self, client: ClientId, data: bytes | None) -> None:
        """Make a client's session what `row` wrote; None: it never had one. Raises Lie, and changes nothing, if
        nothing could have written this."""
        if data is None:
            self._clients.pop(client, None)
            return
        try:
            low, executed = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Lie(f"a client table that cannot be read: {error}") from error
        if low < 0 or len(executed) > OUTSTANDING_MAX:
            raise Lie("a client table with an impossible row")
        session = Session(low)
        for number, position, results in executed:
            if not low < number <= low + OUTSTANDING_MAX or number in session.executed:
                raise Lie("a client table with an impossible number")
            if results is None:
                session.executed[number] = position
            else:
                answer = ReplyStatement(client, number, position, results)
                session.executed[number] = answer
                session.kept_bytes += _size_bytes(answer)
        self._clients[client] = session


def _drop_oldest(session: Session) -> None:
    """Forget results, oldest first, until they fit; the numbers stay known as executed."""
    for number, answer in session.executed.items():
        if session.kept_bytes <= KEPT_BYTES_MAX:
            return
        if isinstance(answer, ReplyStatement):
            session.kept_bytes -= _size_bytes(answer)
            session.executed[number] = answer.position  # an existing key: the order of the dict stays


def _size_bytes(answer: ReplyStatement) -> int:
    return sum(map(len, answer.results))
