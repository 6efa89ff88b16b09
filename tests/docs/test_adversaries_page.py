"""docs/adversaries.md holds the tables that the catalogues give; REWRITE_ADVERSARIES=1 writes them anew."""

from __future__ import annotations

import os
import re
from typing import Final

from documents import ROOT

from outvote.protocols.catalogue import PROTOCOLS
from outvote.simulator.adversaries.catalogue import BEHAVIOURS, GENERAL, WITH_ARGUMENT, told_of
from outvote.simulator.adversaries.client_catalogue import FALSE_CLIENTS, told_of_client

PAGE: Final = ROOT / "docs" / "adversaries.md"
FIRST: Final = "## Replicas, whatever the protocol\n"


def table(rows: dict[str, str]) -> str:
    return "| Name | What it does |\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in rows.items())


def tables() -> str:
    parts = [FIRST, table({name: told_of(name) for name in GENERAL})]
    for protocol in PROTOCOLS.values():
        if protocol.lies:
            parts += [f"## Replicas, in the words of {protocol.name}\n",
                      table({name: told_of(name) for name in protocol.lies})]
    parts += ["## Clients\n", table({name: told_of_client(name) for name in FALSE_CLIENTS})]
    return "\n".join(parts)


def test_the_page_holds_the_tables() -> None:
    prose, _, held = PAGE.read_text(encoding="utf-8").partition(FIRST)
    if os.environ.get("REWRITE_ADVERSARIES", "") not in ("", "0"):
        PAGE.write_text(prose + tables(), encoding="utf-8")
        return
    assert FIRST + held == tables(), "run this test with REWRITE_ADVERSARIES=1 and read the difference"


def test_every_adversary_says_what_it_does_in_a_sentence() -> None:
    told = [told_of(name) for name in BEHAVIOURS] + [told_of_client(name) for name in FALSE_CLIENTS]
    assert len(set(told)) == len(told)
    assert all(re.match(r"[A-Z].*[a-z0-9)]", text) for text in told)
    assert [name for name in WITH_ARGUMENT if name not in BEHAVIOURS] == ["mutate"], "a campaign's, and in no table"
