"""The two forms of PBFT, and what they do differently: how views change, and how one replica convinces another.

With signatures (OSDI 1999, sections 4.3 and 4.4) a replica shows what others said to it. Without them (the form of
TOCS 2002, section 4) nobody can quote anybody: the channel tells who speaks, and what matters is heard from enough.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from outvote.core.contract import Hint, Message, Record
from outvote.types import ReplicaId, Seal

if TYPE_CHECKING:
    from outvote.protocols.pbft.messages import Status
    from outvote.protocols.pbft.state import State

# Any: each takes its own message type; the key guarantees the match.
Handlers: TypeAlias = Mapping[type[Message], Callable[[Any, ReplicaId, Any, Seal], None]]
Questions: TypeAlias = Mapping[type[Message], Callable[[Any, ReplicaId, Any], bool]]


class Form(ABC):
    """Holds no state of its own: one object serves every replica. `state` is the replica's."""

    handlers: ClassVar[Handlers]  # of its own message types
    admits: ClassVar[Questions]
    keeps_pre_prepared: ClassVar[bool]  # the paper's Q

    @abstractmethod
    def leave(self, state: State) -> None:
        """The views below `state.view` are left: record it and say it."""

    @abstractmethod
    def answer_view(self, state: State, sender: ReplicaId, message: Status) -> None:
        """Send what the sender of this STATUS, in our view or a lower one, may lack to get here."""

    @abstractmethod
    def stable_proof(self, state: State) -> Hint:
        """What convinces a laggard that our low watermark is certified."""

    @abstractmethod
    def ask_again(self, state: State) -> None:
        """The clock says that something is missing: ask the others for it."""

    @abstractmethod
    def summary(self, state: State) -> list[Record]:
        """The records of views."""

    @abstractmethod
    def restore(self, state: State, records: Sequence[Record]) -> None:
        """From those records: the view, and what was said of it."""

    def restore_slot(self, state: State, record: Record) -> None:
        """From a record of this form alone: what it says of one position."""
        return

    @abstractmethod
    def bind(self, state: State) -> None:
        """After a restart: bind this replica to the O of the view it had entered."""

    @abstractmethod
    def promises(self, state: State) -> list[Message]:
        """What was said of the view that is being changed to, to be said again."""
