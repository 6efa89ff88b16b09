"""Runs every script of this folder: its expected trace must be what its commands give.

`REWRITE_SCRIPTS=1 pytest tests/scripts` writes the traces anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outvote.errors import Mistake
from outvote.simulator.scenario import rewrite

FOLDER = Path(__file__).parent
SCRIPTS = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/*.txt"))
REWRITES = os.environ.get("REWRITE_SCRIPTS", "") not in ("", "0")


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(name: str) -> None:
    path = FOLDER / name
    text = path.read_text(encoding="utf-8")
    now = rewrite(text)
    if REWRITES:
        path.write_text(now, encoding="utf-8")
    else:
        assert now.splitlines() == text.splitlines()


def test_a_wrong_trace_is_found() -> None:
    text = (FOLDER / "pbft" / "normal_case.txt").read_text(encoding="utf-8")
    assert rewrite(text) == text
    planted = text.replace("delivers 1 [0#1]", "delivers 1 [0#2]", 1)
    assert planted != text
    assert rewrite(planted) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("submit client=0 put a 1", "begins with a cluster"),
        ("cluster protocol=pbft n=4\nexplode 1", "no command 'explode'"),
        ("cluster protocol=pbft n=4\nrun fast", "no time"),
        ("cluster protocol=pbft n=4\nlink 0->1 burn", "burn"),
        ("cluster protocol=pbft four", "NAME=VALUE"),
        ("cluster protocol=raven n=4", "no protocol"),
        ("cluster protocol=pbft n=4 liars=0:gossip", "no behaviour"),
    ],
)
def test_what_is_no_script_is_a_mistake(text: str, said: str) -> None:
    with pytest.raises(Mistake, match=said):
        rewrite(text)
