"""outvote: a plain Python class, replicated on n machines, right while fewer than a third of them lie."""

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
