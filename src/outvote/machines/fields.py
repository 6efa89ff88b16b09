"""A machine's state as leaves of a map, and back: of a user's class each attribute is one, and each item of a dict.

Kept: the leaves are those that a fresh look at the whole state would give, however many checkpoints came in between.
Written again are the attributes that are no dicts, and of dicts the items that were touched. All items of a dict are
looked at if its values could be changed behind its back, through an attribute that is left out of snapshots.
A class that writes its own snapshots is written whole, in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from outvote.errors import Lie, Mistake
from outvote.machines.blueprint import Blueprint
from outvote.machines.contract import Machine
from outvote.machines.item_form import NUMBER_BYTES, ItemForm, read_value, written
from outvote.machines.leaves import (
    NAMES,
    PIECE_BYTES,
    SELF_WRITTEN,
    Draft,
    field_name,
    name_of,
    read,
)
from outvote.machines.machine import StateMachine, check_declared, unwritable
from outvote.machines.merkle_map import MerkleMap
from outvote.machines.stored_dict import StoredDict
from outvote.machines.tracked_dict import TouchingDict, TrackedDict
from outvote.machines.value_types import dict_types, mutable_kinds

_encode = msgspec.msgpack.Encoder().encode
_decode_numbers = msgspec.msgpack.Decoder(tuple[int, int]).decode
_decode_names = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_UNFIT: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)


class _Whole:
    """An attribute that is written as one value."""

    __slots__ = ("decode", "has_sets", "index", "kind", "name")

    def __init__(self, index: int, name: str, kind: Any, has_sets: bool) -> None:
        self.index = index
        self.name = name
        self.kind = kind
        self.has_sets = has_sets
        self.decode = msgspec.msgpack.Decoder(kind).decode

    def save(self, present: dict[str, Any], draft: Draft) -> None:
        draft.write(field_name(self.index), written(present[self.name], self.has_sets))

    def read(self, data: bytes) -> Any:
        return read_value(data, self.decode, self.kind)


class _Items(ItemForm):
    """An attribute that is a dict, of which each item is written by itself."""

    __slots__ = ("_make", "attribute", "held", "index", "looks_at_all", "saved")

    def __init__(self, index: int, name: str, key: Any, value: Any, has_sets: bool, looks_at_all: bool) -> None:
        super().__init__(index, key, value, has_sets)
        self.index = index
        self.attribute = name
        self.looks_at_all = looks_at_all
        self.held: TrackedDict[Any, Any] = TrackedDict()  # the attribute's value
        self.saved: TrackedDict[Any, Any] = self.held  # the one whose items the leaves are; mostly the same
        self._make: type[TrackedDict[Any, Any]] = TouchingDict if mutable_kinds(value) else TrackedDict

    def take(self, present: dict[str, Any]) -> None:
        """The attribute holds another dict than before: put a tracked copy into its place."""
        present[self.attribute] = self.held = self._make(present[self.attribute])

    def save(self, draft: Draft) -> None:
        held = self.held
        if self.saved is not held:
            before = self.saved
            for key in (*dict.__iter__(before), *before.touched):
                draft.remove(self.name(key)[0])
            self.saved = held
        draft.write(field_name(self.index), _encode((held.next_number, len(held))))
        if held.all_touched or self.looks_at_all:
            held.touched.update(dict.fromkeys(held.numbers))
        numbers, long, put = held.numbers, draft.long, draft.put
        for key in held.touched:
            name, long_key = self.name(key)
            number = numbers.get(key)
            if number is None:
                draft.remove(name)
                continue
            value = written(dict.__getitem__(held, key), self.has_sets)
            data = number.to_bytes(NUMBER_BYTES, "big") + long_key + value
            if len(data) > PIECE_BYTES or name in long:
                draft.write(name, data)
            else:
                put(name, data)
        held.settled()

    def made(self, items: list[tuple[int, Any, Any]], next_number: int, count: int) -> TrackedDict[Any, Any]:
        """A dict of these items: (number, key, value). Raises Lie if two have one number, or one is missing."""
        items.sort(key=_number)
        numbers = [number for number, _, _ in items]
        if len(dict.fromkeys(numbers)) != len(numbers) or (numbers and numbers[-1] >= next_number):
            raise Lie(f"a state in which two items of {self.attribute} have one place")
        if len(items) != count:
            raise Lie(f"a state with {len(items)} items of {self.attribute} that says they are {count}")
        made = self._make({key: value for _, key, value in items})
        made.numbers = {key: number for number, key, _ in items}
        made.next_number = next_number
        made.settled()
        return made

    def rewind(self, names: list[bytes], saved: MerkleMap, state: MerkleMap) -> None:
        """As `Fields.rewind`, for these of our names. Raises what decoding raises."""
        held = self.held
        in_order = True
        for name in names:
            if not name.startswith(self.prefix):
                continue
            then, now = read(state, name), read(saved, name)
            if then is None:
                assert now is not None, "one of both holds it"
                gone = self.read_item(name, now)[1]
                dict.pop(held, gone)
                del held.numbers[gone]
                continue
            number, key, value = self.read_item(name, then)
            in_order = in_order and held.numbers.get(key) == number
            held.numbers[key] = number
            dict.__setitem__(held, key, value)
        if not in_order:
            items = [(number, key, dict.__getitem__(held, key)) for key, number in held.numbers.items()]
            items.sort(key=_number)
            held.numbers = {key: number for number, key, _ in items}
            dict.clear(held)
            dict.update(held, {key: value for _, key, value in items})
        held.next_number, _ = read_numbers(read(state, field_name(self.index)))
        held.settled()


class _Stored:
    """An attribute that is a dict whose items stay in the map."""

    __slots__ = ("attribute", "held", "index")

    def __init__(self, index: int, name: str, form: ItemForm) -> None:
        self.index = index
        self.attribute = name
        self.held: StoredDict[Any, Any] = StoredDict(form)

    def take(self, present: dict[str, Any]) -> None:
        """The attribute is to hold what another dict holds."""
        value = present[self.attribute]
        present[self.attribute] = self.held
        self.held.clear()
        self.held.next_number = 0  # as in the other one
        self.held.update(value)

    def save(self, draft: Draft) -> None:
        held = self.held
        for name, data in held.changed.items():
            if data is None:
                draft.remove(name)
            else:
                draft.write(name, data)
        draft.write(field_name(self.index), _encode((held.next_number, held.count)))

    def stand(self, state: MerkleMap) -> None:
        """Raises what decoding raises."""
        self.held.stand(state, *read_numbers(read(state, field_name(self.index))))


class Fields:
    """Brings one machine's state into a map and out of it. The machine's own dicts are tracked from now on."""

    __slots__ = ("_blueprint", "_items", "_machine", "_stored", "_wholes")

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._blueprint: Blueprint | None = None
        self._items: dict[int, _Items] = {}
        self._stored: dict[int, _Stored] = {}
        self._wholes: dict[int, _Whole] = {}
        if not isinstance(machine, StateMachine) or machine.blueprint().own_snapshot:
            return
        self._blueprint = blueprint = machine.blueprint()
        behind = [kind for hint in blueprint.derived_types for kind in mutable_kinds(hint)]
        for index, (name, kind) in enumerate(blueprint.types.items()):
            found = dict_types(kind)
            if found is None:
                self._wholes[index] = _Whole(index, name, kind, blueprint.has_sets)
            elif name in blueprint.stored:
                self._stored[index] = _Stored(index, name, ItemForm(index, *found, blueprint.has_sets))
            else:
                kinds = mutable_kinds(found[1])
                looks_at_all = bool(kinds) and (object in behind or any(one in behind for one in kinds))
                self._items[index] = _Items(index, name, *found, blueprint.has_sets, looks_at_all)
        self.settle()

    @property
    def stored(self) -> bool:
        """Whether some of the state is not in memory."""
        return bool(self._stored)

    def _dicts(self) -> list[_Items | _Stored]:
        return [*self._items.values(), *self._stored.values()]

    def settle(self) -> None:
        """After every delivery: a dict that was put in the place of another is tracked from now on. Raises
        BrokenStorage if an item could not be read, whatever a command made of that."""
        present = vars(self._machine)
        for stored in self._stored.values():
            if stored.held.failure is not None:
                raise stored.held.failure
        for items in self._dicts():
            value = present.get(items.attribute, items)
            if value is not items.held and isinstance(value, dict):
                items.take(present)

    def save(self, draft: Draft) -> None:
        """Write down what has changed since. Raises Mistake if the state cannot be written."""
        blueprint = self._blueprint
        if blueprint is None:
            draft.write(SELF_WRITTEN, self._machine.snapshot())
            return
        present = check_declared(self._machine, blueprint)
        draft.write(NAMES, _encode(blueprint.attributes))
        try:
            for items in self._dicts():
                found = present[items.attribute]
                if found is not items.held:  # no dict at all: an attribute of another type
                    raise TypeError(f"{items.attribute} is declared as a dict and is {type(found).__name__}")
                items.save(draft)
            for whole in self._wholes.values():
                whole.save(present, draft)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Mistake(unwritable(blueprint, [present[name] for name in blueprint.attributes], error)) from error

    def saved(self, state: MerkleMap) -> None:
        """What `save` wrote down is now this."""
        for items in self._stored.values():
            items.stand(state)

    def load(self, state: MerkleMap) -> None:
        """Become the state that `state` holds, made anew altogether. Raises Lie, and changes nothing, if it does not
        fit the class."""
        blueprint = self._blueprint
        if blueprint is None:
            data = read(state, SELF_WRITTEN)
            if data is None:
                raise Lie("a state without the snapshot that the class writes itself")
            self._machine.restore(data)
            return
        self._check_names(state, blueprint)
        found: dict[int, list[tuple[int, Any, Any]]] = {index: [] for index in self._items}
        numbers: dict[int, tuple[int, int]] = {}
        values: dict[str, Any] = {}
        try:
            for name, data in self._named(state):
                index = int.from_bytes(name[1:3], "big")
                if name[:1] == b"i":
                    found[index].append(self._items[index].read_item(name, data))
                elif index in self._stored:
                    self._stored[index].stand(state)
                elif index in self._items:
                    numbers[index] = read_numbers(data)
                else:
                    values[self._wholes[index].name] = self._wholes[index].read(data)
            missing = [index for index in self._items if index not in numbers]
            if missing or len(values) != len(self._wholes):
                raise Lie(f"a state in which an attribute of {blueprint.name} is missing")
        except (*_UNFIT, KeyError, IndexError) as error:
            raise Lie(f"a state that does not fit the class {blueprint.name}: {error}") from error
        made = {index: items.made(found[index], *numbers[index]) for index, items in self._items.items()}
        present = vars(self._machine)
        for index, items in self._items.items():
            present[items.attribute] = items.held = items.saved = made[index]
        for stored in self._stored.values():
            present[stored.attribute] = stored.held
        for name_, value in values.items():
            setattr(self._machine, name_, value)
        self._forget_derived(blueprint)

    def rewind(self, saved: MerkleMap, state: MerkleMap, leaves: list[bytes]) -> None:
        """Become `state`; nothing was touched since `saved` was written, and these leaves differ. Costs time in their
        number, and in a dict's size if items of it come back that were gone. Derived attributes start anew."""
        blueprint = self._blueprint
        if blueprint is None:
            self.load(state)
            return
        for stored in self._stored.values():
            stored.stand(state)
        changed: dict[int, list[bytes]] = {}
        for name in dict.fromkeys(map(name_of, leaves)):
            if name[:1] in (b"f", b"i"):
                changed.setdefault(int.from_bytes(name[1:3], "big"), []).append(name)
        for index, names in changed.items():
            if index in self._items:
                self._items[index].rewind(names, saved, state)
            elif index not in self._stored:
                whole = self._wholes[index]
                setattr(self._machine, whole.name, whole.read(read(state, names[0]) or b""))
        self._forget_derived(blueprint)

    def _named(self, state: MerkleMap) -> Iterator[tuple[bytes, bytes]]:
        """Names of attributes and items with their data; not of items that stay where they are."""
        if not self._items:
            for index in (*self._stored, *self._wholes):
                data = read(state, field_name(index))
                if data is not None:
                    yield field_name(index), data
            return
        for key, value in state.leaves():
            if key[:2] != b"\0\0" or key[2:3] not in (b"f", b"i"):
                continue
            name = name_of(key)
            if key[2:3] == b"f" or int.from_bytes(name[1:3], "big") not in self._stored:
                data = value[2:] if value[:2] == b"\0\1" else read(state, name)
                assert data is not None
                yield name, data

    def _check_names(self, state: MerkleMap, blueprint: Blueprint) -> None:
        written = read(state, NAMES)
        try:
            names = _decode_names(written or b"")
        except _UNFIT as error:
            raise Lie(f"a state without the names of its attributes: {error}") from error
        if names != blueprint.attributes:
            raise Lie(
                f"a state of {', '.join(names)}, and the class {blueprint.name} declares "
                f"{', '.join(blueprint.attributes)}"
            )

    def _forget_derived(self, blueprint: Blueprint) -> None:
        for name in blueprint.derived:
            setattr(self._machine, name, blueprint.default(name))


def read_numbers(data: bytes | None) -> tuple[int, int]:
    """Of a dict, its next item's number, and how many items it has. Raises what decoding raises."""
    return _decode_numbers(data or b"")


def _number(item: tuple[int, Any, Any]) -> int:
    return item[0]
