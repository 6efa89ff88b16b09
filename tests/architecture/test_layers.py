"""Which package may import which: the layers, as a table, checked on the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import pytest
from source_tree import Source, package_sources, planted

# Every package may import itself, types and errors. A dotted entry opens one module of a package and no more.
LAYERS: Final[dict[str, tuple[str, ...]]] = {
    "types": (),
    "errors": (),
    "core": (),
    "crypto": ("core",),
    "wire": ("core",),
    "storage": ("core",),
    "observe": ("core",),
    "diagram": ("observe.chronicle",),
    "broadcast": ("core", "crypto.branches", "crypto.erasure"),
    "machines": ("core", "wire.client_messages"),
    "configuration": ("core", "crypto", "machines", "wire.client_messages"),
    "protocols": ("core", "broadcast", "crypto.digests", "crypto.threshold", "crypto.dealings"),
    "client": ("core", "crypto", "wire", "machines", "configuration", "transport"),
    "transport": ("configuration", "crypto"),
    "host": ("core", "crypto", "wire", "machines", "storage", "observe", "configuration", "transport"),
    "simulator": (
        "core",
        "crypto",
        "wire",
        "machines",
        "storage",
        "observe",
        "host",
        "client.config",
        "client.session",
        "protocols.catalogue",
    ),
    "testing": ("core", "wire.client_messages", "machines", "client.session", "protocols.catalogue", "simulator"),
}
ABOVE_ALL: Final = ("", "__main__", "cli")  # the package's own front door and the command line


def imported(source: Source) -> Iterator[tuple[int, str]]:
    """(line, dotted name below outvote) of every import, wherever in the file it stands."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.partition(".")[0] == "outvote":
                    yield node.lineno, name.name.partition(".")[2]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "(relative)"
            elif node.module is not None and node.module.partition(".")[0] == "outvote":
                for name in node.names:
                    yield node.lineno, f"{node.module}.{name.name}".partition(".")[2]


def layer_violations(source: Source) -> list[str]:
    if source.package in ABOVE_ALL:
        return []
    if source.package not in LAYERS:
        return [f"{source.module}: package {source.package!r} has no place among the layers"]
    allowed = (source.package, "types", "errors", *LAYERS[source.package])
    return [
        f"{source.module}:{line} may not import {name}"
        for line, name in imported(source)
        if not any(name == prefix or name.startswith(prefix + ".") for prefix in allowed)
    ]


def sibling_violations(source: Source) -> list[str]:
    """A protocol's folder knows no other protocol; only the catalogue sees them all."""
    parts = source.module.split(".")
    if parts[0] != "protocols" or source.module in ("protocols", "protocols.catalogue"):
        return []
    own = ".".join(parts[:2])
    return [
        f"{source.module}:{line} may not import {name}"
        for line, name in imported(source)
        if name.startswith("protocols.") and name != own and not name.startswith(own + ".")
    ]


def test_imports_point_downwards() -> None:
    assert [found for one in package_sources() for found in layer_violations(one) + sibling_violations(one)] == []


def test_the_table_has_no_cycle() -> None:
    done: list[str] = []
    for _ in LAYERS:
        done += [
            name
            for name, below in LAYERS.items()
            if name not in done and all(one.partition(".")[0] in done for one in below)
        ]
    assert sorted(done) == sorted(LAYERS)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("core.tally", "from outvote.host.turn import Turn"),
        ("core.tally", "import outvote.machines.executor"),
        ("core.tally", "def f() -> None:\n    from outvote.crypto import keys"),
        ("core.tally", "from . import quorums"),
        ("host.turn", "from outvote.protocols.catalogue import PROTOCOLS"),
        ("host.turn", "from outvote.simulator import world"),
        ("simulator.world", "from outvote.protocols.pbft.replica import Replica"),
        ("simulator.world", "from outvote.client.aio import Client"),
        ("machines.sessions", "from outvote.wire.frames import Frames"),
        ("core.tally", "from outvote import connect"),
        ("novelty.thing", "from outvote.core import quorums"),
    ],
)
def test_a_planted_upward_import_is_found(module: str, text: str) -> None:
    assert len(layer_violations(planted(module, text))) == 1


def test_allowed_imports_pass() -> None:
    text = "from outvote.core import quorums\nfrom outvote.wire.client_messages import Submit\nimport outvote.types"
    assert layer_violations(planted("machines.sessions", text)) == []
    assert layer_violations(planted("cli.main", "import outvote.simulator.world")) == []


def test_a_planted_sibling_import_is_found() -> None:
    text = "from outvote.protocols.raft.messages import Vote\nfrom outvote.protocols.pbft.slot import Slot"
    assert sibling_violations(planted("protocols.pbft.normal", text)) == [
        "protocols.pbft.normal:1 may not import protocols.raft.messages.Vote"
    ]
    assert sibling_violations(planted("protocols.catalogue", text)) == []
