"""The rounds of PBFT: which step of which view a message belongs to, as campaigns of systematic faults count them.

Computed from what a message says, never from when it is said: so a schedule of rounds strikes the same steps in every
run. Replicas do not import this file.
"""

from __future__ import annotations

from typing import Final

from outvote.core.contract import Message
from outvote.protocols.pbft.authenticators import messages as unsigned
from outvote.protocols.pbft.messages import (
    BriefPrePrepare,
    Commit,
    NewView,
    NewViewProof,
    Prepare,
    PrePrepare,
    ViewChange,
)

PHASES: Final = 5  # of a view: VIEW-CHANGE, NEW-VIEW, PRE-PREPARE, PREPARE, COMMIT
ORDERING_PHASE: Final = 2  # from here on a view orders requests

_PHASES: Final[dict[type[Message], int]] = {
    ViewChange: 0, unsigned.ViewChange: 0, unsigned.ViewChangeAck: 0, NewView: 1, unsigned.NewView: 1,
    PrePrepare: 2, BriefPrePrepare: 2, Prepare: 3, Commit: 4,
}


def round_of(message: Message) -> int | None:
    """`view * PHASES + phase`; None for what belongs to no view: checkpoints, retransmission, forwarded requests."""
    if isinstance(message, NewViewProof | unsigned.EnteredView):
        return message.message.view * PHASES + 1
    phase = _PHASES.get(type(message))
    view: int = getattr(message, "view", 0)
    return None if phase is None else view * PHASES + phase
