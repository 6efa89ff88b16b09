"""When a liar is about to say something: what a protocol's lies may look at. No honest code imports it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from outvote.core.contract import Message, Struct
from outvote.types import ReplicaId, Seal


class Occasion(NamedTuple):
    """`choice` is a number that was drawn for it; `heard` what others said lately, oldest first, own words included."""

    me: ReplicaId
    receiver: ReplicaId
    n: int
    choice: int
    heard: Sequence[tuple[ReplicaId, Message, Seal]]
    seal: Callable[[Struct], Seal]  # under the liar's own key


# What is said instead: nothing, one thing or several; None where there is nothing to lie about.
Lie: TypeAlias = Callable[[Message, Occasion], "list[Message] | None"]
