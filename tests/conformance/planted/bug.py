"""What a planted bug is, and how one is planted: by replacing a function or a name where it is looked up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from outvote.core.contract import Message
from outvote.protocols.pbft import replica as pbft_replica
from outvote.protocols.pbft.state import State
from outvote.types import ReplicaId, Seal

Patch = Any  # a function of a MonkeyPatch, with a name and a docstring
Handler = Callable[[State, ReplicaId, Any, Seal], None]


class PlantedBug(NamedTuple):
    """A rule turned off. `script` is what misses it, if the swarm is not expected to."""

    plant: Patch
    listed: int = 0  # the number under which the test plan lists it; 0 for one that it does not list
    script: Callable[[], None] | None = None

    @property
    def name(self) -> str:
        return str(self.plant.__name__)


def handle(patch: pytest.MonkeyPatch, kind: type[Message], handler: Handler) -> None:
    patch.setitem(pbft_replica.HANDLERS, kind, handler)
