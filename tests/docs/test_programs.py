"""The programs that documents quote run, do what the documents say, and are quoted word for word."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from documents import PATIENCE_S, PROGRAMS, ROOT, cluster_up, environment, run

from outvote.cli.main import run_command

DOCUMENTS: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_BLOCK: Final = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_COMMAND: Final = re.compile(r"\boutvote ([a-z][a-z-]*[a-z])((?: --[a-z-]+)?)")
CONSOLE: Final = "console"
WITH_CLUSTER: Final = "console, with a cluster of counter:Counter"


class Block(NamedTuple):
    """A fenced block of a document, and the comment before it."""

    document: str
    mark: str
    kind: str
    text: str


def blocks(document: str, text: str) -> list[Block]:
    return [Block(document, found["mark"] or "", found["kind"], found["text"]) for found in _BLOCK.finditer(text)]


ALL_BLOCKS: Final = [
    block for path in DOCUMENTS for block in blocks(str(path.relative_to(ROOT)), path.read_text())
]  # fmt: skip


def quote_violations(block: Block) -> list[str]:
    """Python in a document is quoted from a program, word for word; consoles say what they need."""
    if block.kind == "console":
        return [] if block.mark in (CONSOLE, WITH_CLUSTER) else [f"{block.document}: a console without its mark"]
    if block.kind != "python":
        return []
    source = ROOT / block.mark
    if not block.mark.startswith("docs_src/") or not source.is_file():
        return [f"{block.document}: Python that names no program of docs_src: {block.text[:60]!r}"]
    if block.text.strip() not in source.read_text():
        return [f"{block.document}: {block.mark} holds something else than is quoted"]
    return []


@pytest.mark.parametrize("document", [str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_quotes_are_word_for_word(document: str) -> None:
    violations = [text for block in ALL_BLOCKS if block.document == document for text in quote_violations(block)]
    assert violations == []


def test_every_program_is_quoted() -> None:
    quoted = {block.mark for block in ALL_BLOCKS if block.kind == "python"}
    assert {f"docs_src/{path.name}" for path in PROGRAMS.glob("*.py")} == quoted


def test_a_planted_wrong_quote_is_found() -> None:
    good = "    value: int = 0\n"
    assert quote_violations(Block("x.md", "docs_src/counter.py", "python", good)) == []
    assert len(quote_violations(Block("x.md", "docs_src/counter.py", "python", "    value: int = 1\n"))) == 1
    assert len(quote_violations(Block("x.md", "docs_src/missing.py", "python", good))) == 1
    assert len(quote_violations(Block("x.md", "", "python", good))) == 1
    assert len(quote_violations(Block("x.md", "", "console", "$ outvote quorum 4\n"))) == 1


def play(session: str, where: Path) -> str:
    """The session as it really runs: each line after `$ ` with what it prints."""
    told: list[str] = []
    for line in session.splitlines():
        if line.startswith("$ outvote "):
            done = subprocess.run(
                [sys.executable, "-m", *shlex.split(line[2:])], cwd=where, env=environment(), text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=PATIENCE_S,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            told += [line, *done.stdout.rstrip().splitlines()]
    return "\n".join(told) + "\n"


def assert_told(told: str, shown: str) -> None:
    """Line by line the same; ` ... ` in a document stands for what chance decides."""
    lines, patterns = told.splitlines(), [re.escape(line).replace(r"\ \.\.\.", " .*") for line in shown.splitlines()]
    assert len(lines) == len(patterns), told
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"


def test_a_planted_wrong_session_is_found() -> None:
    shown = "$ outvote x\nat ... of (2)\n"
    assert_told("$ outvote x\nat 17 of (2)\n", shown)
    for wrong in ("$ outvote x\n", "$ outvote x\nat 17 of (3)\n", "$ outvote x\nat 17 of (2)\nmore\n"):
        with pytest.raises(AssertionError):
            assert_told(wrong, shown)


@pytest.mark.parametrize("block", [b for b in ALL_BLOCKS if b.mark == CONSOLE], ids=lambda block: block.document)
def test_sessions_print_what_the_documents_show(block: Block) -> None:
    assert_told(play(block.text, PROGRAMS), block.text)


@pytest.mark.processes
@pytest.mark.parametrize("protocol", ["pbft", "honeybadger"])
def test_sessions_and_programs_against_a_cluster(tmp_path: Path, protocol: str) -> None:
    """In the order of the how-to: the console first, then the two programs, which go on from its 3."""
    if protocol == "honeybadger":
        pytest.importorskip("py_arkworks_bls12381")
    sessions = [block.text for block in ALL_BLOCKS if block.mark == WITH_CLUSTER]
    assert len(sessions) == 1
    with cluster_up(tmp_path, "counter:Counter", protocol):
        assert_told(play(sessions[0], tmp_path), sessions[0])
        assert run("python", PROGRAMS / "use_client.py", where=tmp_path) == "6\n[7, 8, 9, 10, 11]\n"
        lines = run("python", PROGRAMS / "use_blocking_client.py", where=tmp_path).splitlines()
        assert lines[0] == "3"
        assert re.fullmatch(r"3 at position \d+", lines[1])
    # The cluster is gone, and the receipt still proves the answer.
    assert "valid" in run("outvote", "verify", "receipt.json", where=tmp_path)


def test_the_inline_cluster_prints_what_the_how_to_says() -> None:
    printed = run("python", "inline_cluster.py", where=PROGRAMS).splitlines()
    assert printed == ["3", "7 in view 1"]
    text = (ROOT / "docs" / "how_to" / "embed_a_core.md").read_text()
    assert "It prints `3`, then `7 in view 1`." in text


def test_the_army_prints_what_the_how_to_says() -> None:
    printed = run("python", "attack_at_dawn.py", where=PROGRAMS)
    assert f"```\n{printed}```" in (ROOT / "docs" / "how_to" / "watch_the_generals.md").read_text()


def test_two_versions_print_what_the_how_to_says() -> None:
    printed = run("python", "two_versions.py", where=PROGRAMS)
    assert f"```\n{printed}```" in (ROOT / "docs" / "how_to" / "spread_the_faults.md").read_text()


def test_the_replayed_seed_prints_what_the_how_to_says() -> None:
    assert run("python", "replay_a_seed.py", where=PROGRAMS) == "held\nequal\n"


def commands_named(text: str) -> set[tuple[str, str]]:
    """(command, first option) of every `outvote ...` in a text."""
    return {(command, option.strip()) for command, option in _COMMAND.findall(text)}


def test_commands_and_options_that_documents_name_exist(capsys: pytest.CaptureFixture[str]) -> None:
    named = {one for path in DOCUMENTS for one in commands_named("\n".join(_code(path.read_text())))}
    helps: dict[str, str] = {}
    for command in sorted({name for name, _ in named}):
        assert run_command([command, "--help"]) == 0, f"there is no outvote {command}"
        helps[command] = capsys.readouterr().out
    assert len(helps) > 8
    assert [(command, option) for command, option in sorted(named) if option and option not in helps[command]] == []


def _code(text: str) -> list[str]:
    """Indented lines and `spans`: where commands stand."""
    return [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^ {4}.*$", text, re.MULTILINE)]


def test_commands_are_found_in_a_text() -> None:
    assert commands_named("outvote up --machine a:B; then outvote status") == {("up", "--machine"), ("status", "")}
