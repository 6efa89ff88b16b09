"""Rules of the node store, turned off."""

from __future__ import annotations

from typing import Any

import pytest

from outvote.machines import vault
from outvote.machines.stored_dict import StoredDict


def garbage_collected_too_early(patch: pytest.MonkeyPatch) -> None:
    """Nodes go with the version that replaces them, before its pointer is on the disk."""
    original = vault._Writing.subtree

    def subtree(writing: vault._Writing, new: Any, last: Any) -> Any:
        written = yield from original(writing, new, last)
        for place in writing.gone:
            writing._change.remove(place)
        return written

    patch.setattr(vault._Writing, "subtree", subtree)


def stored_nodes_believed(patch: pytest.MonkeyPatch) -> None:
    """What is read from the store is not compared with the digest that led to it."""

    def read(one: vault.Vault, node: Any) -> tuple[Any, int]:
        data = one._store.get(node.place) or b""
        return one._decode(data) or (), len(data)

    patch.setattr(vault.Vault, "_read", read)


def later_versions_left_behind(patch: pytest.MonkeyPatch) -> None:
    """At a start nothing is forgotten of versions whose pointers a crash took away."""
    patch.setattr(vault.Vault, "_forget_after", lambda one, pointer, facts: None)


def stored_changes_shown_first(patch: pytest.MonkeyPatch) -> None:
    """A stored dict goes through what has changed before what has not: the order shows when a checkpoint was taken."""
    original = StoredDict._placed

    def placed(one: StoredDict[Any, Any]) -> Any:
        found = list(original(one))
        yield from [item for item in found if item[1] in one.changed]
        yield from [item for item in found if item[1] not in one.changed]

    patch.setattr(StoredDict, "_placed", placed)
