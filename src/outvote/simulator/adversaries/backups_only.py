"""A client that never tells the primary: every backup that hears of a request starts its timer."""

from __future__ import annotations

from outvote.simulator.adversaries.false_client import FalseClient
from outvote.types import ReplicaId
from outvote.wire.client_messages import Reply, ToClient


class BackupsOnly(FalseClient):
    """It learns the view from the replies; to all backups, or to a single one."""

    view = 0

    def begin(self) -> None:
        self.repeat(self._issue, self.powers.requests_max)

    def heard(self, replica: ReplicaId, message: ToClient) -> None:
        if isinstance(message, Reply) and message.view - self.view <= self.powers.n:  # a liar may name any view
            self.view = max(self.view, message.view)

    def _issue(self) -> None:
        powers = self.powers
        number = powers.next_number()
        request = powers.request(number, [powers.draw()], number - 1)
        backups = [replica for replica in range(powers.n) if replica != self.view % powers.n]
        for replica in backups if self.rng.random() < 0.5 else [self.rng.choice(backups)]:
            powers.submit(replica, request)
        self.lies += 1
