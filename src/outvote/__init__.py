"""outvote: a plain Python class, replicated on n machines, right while fewer than a third of them lie."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from outvote.client.aio import Answer, Client, connect
    from outvote.client.blocking import BlockingClient
    from outvote.client.receipts import Receipt
    from outvote.errors import (
        BrokenStorage,
        Lie,
        Mistake,
        NotEnoughReplicas,
        OutvoteError,
        Refused,
        Unanswered,
        UnknownOutcome,
    )
    from outvote.machines.contract import Context
    from outvote.machines.key_value import KeyValueStore
    from outvote.machines.ledger import Ledger
    from outvote.machines.machine import Rejected, StateMachine, command, query

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BlockingClient",
    "BrokenStorage",
    "Client",
    "Context",
    "KeyValueStore",
    "Ledger",
    "Lie",
    "Mistake",
    "NotEnoughReplicas",
    "OutvoteError",
    "Receipt",
    "Refused",
    "Rejected",
    "StateMachine",
    "Unanswered",
    "UnknownOutcome",
    "command",
    "connect",
    "query",
]

_HOMES: Final = {
    "outvote.client.aio": ("Answer", "Client", "connect"),
    "outvote.client.blocking": ("BlockingClient",),
    "outvote.client.receipts": ("Receipt",),
    "outvote.errors": (
        "BrokenStorage", "Lie", "Mistake", "NotEnoughReplicas", "OutvoteError", "Refused", "Unanswered",
        "UnknownOutcome",
    ),
    "outvote.machines.contract": ("Context",),
    "outvote.machines.key_value": ("KeyValueStore",),
    "outvote.machines.ledger": ("Ledger",),
    "outvote.machines.machine": ("Rejected", "StateMachine", "command", "query"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """A name of `__all__`, from its home when it is first asked for: a replica needs no client, nor does a command that
    only looks at a file, and importing one takes longer than all else that they do at their start."""
    for home, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(import_module(home), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
