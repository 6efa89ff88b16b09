"""ByzzFuzz's liar: what it says in one protocol round goes out changed, under its own good seal.

Small scope: what a message says of views, positions and digests is a little wrong, empty, old, or nothing is said.
Any scope: any field, however deep, holds any value of its kind that was ever seen. Winter et al., OOPSLA 2023.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

import msgspec

from outvote.core.contract import Message
from outvote.errors import Mistake
from outvote.simulator.adversaries.behaviour import Behaviour
from outvote.simulator.adversaries.powers import Powers
from outvote.types import ReplicaId, Seal

SMALL: Final = (
    "position-up", "position-down", "view-up", "view-down", "nil", "previous", "omit", "other-digest",
)
ANY: Final = "any"
SEEN_MAX: Final = 200  # values of one field that are remembered
DEPTH_MAX: Final = 6  # of structs within structs: a NEW-VIEW has 4


class Mutate(Behaviour):
    """`ROUND.KIND.SEED`. All its targets hear the same changed message. Raises Mistake for another argument."""

    def __init__(self, powers: Powers, argument: str) -> None:
        super().__init__(powers)
        number, _, rest = argument.partition(".")
        self._kind, _, seed = rest.partition(".")
        if not (number.isdecimal() and seed.isdecimal() and self._kind in (*SMALL, ANY)):
            raise Mistake(f"mutate:{argument}: write mutate:ROUND.KIND.SEED with a KIND of {', '.join((*SMALL, ANY))}")
        self._round = int(number)
        self._chance = Random(int(seed))
        self._at = 0  # the latest round spoken in: what belongs to none counts for it
        self._previous: dict[type[Message], Message] = {}
        self._seen: dict[str, list[Any]] = {}  # by name of the field
        self._original: Message | None = None
        self._said: list[Message] = []

    def speak(self, receiver: ReplicaId, message: Message) -> list[Message]:
        if message is not self._original:
            self._original = message
            self._remember(message, 0)
            self._said = [message]
            if self._round_of(message) == self._round:
                self._said = self._changed(message)
            self._previous[type(message)] = message
        return self._said

    def heard(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        self._remember(message, 0)

    def _round_of(self, message: Message) -> int:
        number = self.powers.protocol.round_of(message)
        if number is None:
            return self._at
        self._at = max(self._at, number)
        return number

    def _changed(self, message: Message) -> list[Message]:
        kind = self._kind
        if kind == "omit":
            return []
        if kind == "previous":
            return [self._previous.get(type(message), message)]
        if kind == ANY:
            return [self._any(message, 0)]
        name, _, way = kind.partition("-")
        if kind == "nil":
            return [msgspec.structs.replace(message, **{
                field: _nothing(getattr(message, field)) for field in message.__struct_fields__
                if not isinstance(getattr(message, field), int)
            })]
        if kind == "other-digest":
            name = "digest"
        if name == "position" and not hasattr(message, name):
            name = "epoch"  # what HoneyBadger calls it
        held = getattr(message, name, None)
        if isinstance(held, int):
            return [msgspec.structs.replace(message, **{name: max(0, held + (1 if way == "up" else -1))})]
        if isinstance(held, bytes):
            others = [one for one in self._seen.get(name, []) if one != held]
            if others:
                return [msgspec.structs.replace(message, **{name: self._chance.choice(others)})]
        return [message]

    def _any(self, value: Any, depth: int) -> Any:
        """The same struct with one field changed, here or further down."""
        fields = value.__struct_fields__
        if not fields:
            return value
        name = self._chance.choice(fields)
        held = getattr(value, name)
        further = depth < DEPTH_MAX and self._chance.random() < 0.5
        if further and isinstance(held, msgspec.Struct):
            return msgspec.structs.replace(value, **{name: self._any(held, depth + 1)})
        if further and isinstance(held, tuple) and held:
            return msgspec.structs.replace(value, **{name: self._any_element(held, depth)})
        return msgspec.structs.replace(value, **{name: self._another(name, held)})

    def _any_element(self, held: tuple[Any, ...], depth: int) -> tuple[Any, ...]:
        """One entry dropped, doubled or changed, or two of them exchanged."""
        index, other = (self._chance.randrange(len(held)) for _ in range(2))
        fate = self._chance.randrange(4)
        entries = list(held)
        if fate == 0:
            del entries[index]
        elif fate == 1:
            entries.insert(index, held[other])
        elif fate == 2:
            entries[index], entries[other] = held[other], held[index]
        elif isinstance(held[index], msgspec.Struct):
            entries[index] = self._any(held[index], depth + 1)
        return tuple(entries)

    def _another(self, name: str, held: Any) -> Any:
        known = [one for one in self._seen.get(name, []) if one != held]
        if isinstance(held, bool):
            return not held
        if isinstance(held, int) and self._chance.random() < 0.3:
            return max(0, held + self._chance.choice((-1, 1, 2, 1000, 2**31, 2**62)))
        if isinstance(held, bytes) and self._chance.random() < 0.2:
            return self._chance.randbytes(len(held))
        return self._chance.choice(known) if known else _nothing(held)

    def _remember(self, value: Any, depth: int) -> None:
        for name in value.__struct_fields__:
            held = getattr(value, name)
            values = self._seen.setdefault(name, [])
            if held not in values[-8:]:
                values.append(held)
                if len(values) > SEEN_MAX:
                    del values[: SEEN_MAX // 2]
            if depth < DEPTH_MAX:
                if isinstance(held, msgspec.Struct):
                    self._remember(held, depth + 1)
                elif isinstance(held, tuple):
                    for one in held[:8]:
                        if isinstance(one, msgspec.Struct):
                            self._remember(one, depth + 1)


def _nothing(value: Any) -> Any:
    """The empty value of the same kind; of a struct, one with every field empty."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **{
            name: _nothing(getattr(value, name)) for name in value.__struct_fields__
        })
    return type(value)()
