"""A client that does not keep the rules: its own key, its own channels, and whatever it overhears.

One sin a file, like the replicas'. A lying client may do what it likes to itself; what counts is that it changes
nothing for honest ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from outvote.core.contract import Request, RequestStatement
from outvote.host.ports import Sealer
from outvote.machines.interface import Interface
from outvote.types import MILLISECOND, ClientId, Nanos, ReplicaId
from outvote.wire.client_messages import Submit, ToClient, ToReplica

MESSAGES_MAX: Final = 480  # that the requests of one sin may cost: a decision takes 2n(n - 1)
REQUESTS_MIN: Final = 4
PAUSES_NS: Final = (30 * MILLISECOND, 100 * MILLISECOND, 300 * MILLISECOND)  # between one deed and the next


class ClientPowers:
    """What a lying client can do. `draw` makes an encoded operation of the workload; `overheard` are the requests of
    honest clients, which a corrupted replica would have shown it. All sins of one client share its numbers."""

    def __init__(
        self, client: ClientId, n: int, rng: Random, sealer: Sealer, interface: Interface,
        draw: Callable[[], bytes], send: Callable[[ReplicaId, ToReplica], None], now: Callable[[], Nanos],
        later: Callable[[Nanos, Callable[[], None]], None], overheard: Sequence[Request],
    ) -> None:
        self.client = client
        self.n = n
        self.rng = rng
        self.interface = interface
        self.draw = draw
        self.send = send
        self.now = now
        self.later = later
        self.overheard = overheard
        self.requests_max = max(REQUESTS_MIN, MESSAGES_MAX // (2 * n * (n - 1)))  # of one sin: 20 at n = 4
        self.number = 0  # the last one given to a request
        self._sealer = sealer

    def next_number(self, step: int = 1) -> int:
        """A number that no request of this client has."""
        self.number += step
        return self.number

    def request(self, number: int, operations: Sequence[bytes], acknowledged: int = 0) -> Request:
        """Sealed by this client."""
        statement = RequestStatement(self.client, number, acknowledged, tuple(operations))
        return Request(self.client, number, acknowledged, tuple(operations), self._sealer.seal(statement))

    def submit(self, replica: ReplicaId, request: Request) -> None:
        self.send(replica, Submit(request))

    def submit_to_all(self, request: Request) -> None:
        for replica in range(self.n):
            self.submit(replica, request)


class FalseClient:
    """Does nothing at all. Subclasses sin, and count in `lies` how often."""

    def __init__(self, powers: ClientPowers) -> None:
        self.powers = powers
        self.rng = powers.rng
        self.lies = 0

    def begin(self) -> None:
        """The run begins."""

    def heard(self, replica: ReplicaId, message: ToClient) -> None:
        """A replica answered."""

    def repeat(self, deed: Callable[[], None], times: int) -> None:
        """So often, with pauses of a length that is drawn once."""
        pause_ns = self.rng.choice(PAUSES_NS)

        def act(left: int) -> None:
            deed()
            if left > 1:
                self.powers.later(pause_ns, lambda: act(left - 1))

        self.powers.later(pause_ns, lambda: act(times))
