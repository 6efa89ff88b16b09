"""Rules of proactive recovery, turned off."""

from __future__ import annotations

import pytest

from outvote.client.votes import Votes
from outvote.core import quorums, rejuvenation
from outvote.core.contract import Delivery
from outvote.crypto.key_exchange import Ceiling, Counters
from outvote.machines.executor import Executor
from outvote.types import Digest


def recovers_one_too_many(patch: pytest.MonkeyPatch) -> None:
    """f + 1 replicas may be rejuvenated at once."""
    patch.setattr(rejuvenation, "faults", lambda n: quorums.faults(n) + 1)


def words_outlive_connections(patch: pytest.MonkeyPatch) -> None:
    """What a replica said before it was rejuvenated counts beside what another says afterwards."""
    patch.setattr(Votes, "forget", lambda votes, replica: False)


def counters_from_the_clock_alone(patch: pytest.MonkeyPatch) -> None:
    """A replica whose clock was set back uses counters of NEW-KEYs again."""
    original = Counters.__init__

    def init(counters: Counters, durable: Ceiling | None = None) -> None:
        original(counters)

    patch.setattr(Counters, "__init__", init)


def times_in_chance(patch: pytest.MonkeyPatch) -> None:
    """Random bytes depend on the times that primaries proposed."""
    original = Executor._chance_of

    def chance_of(executor: Executor, delivery: Delivery) -> Digest:
        executor._chance = executor.history
        return original(executor, delivery)

    patch.setattr(Executor, "_chance_of", chance_of)
