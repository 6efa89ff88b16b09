"""Rooms stay small, names say what a thing is, and every file says what it is for."""

from __future__ import annotations

import ast
import re
from typing import Final

import pytest
from source_tree import Source, other_sources, package_sources, planted

FILE_LINES_MAX: Final = 600
FUNCTION_LINES_MAX: Final = 60  # of code: neither docstring nor comments nor blank lines
EMPTY_WORDS: Final = frozenset(
    [
        "manager",
        "managers",
        "helper",
        "helpers",
        "util",
        "utils",
        "utility",
        "utilities",
        "common",
        "base",
        "bases",
    ]
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")


def file_size_violations(source: Source) -> list[str]:
    count = source.text.count("\n")
    return [f"{source.module}: {count} lines"] if count > FILE_LINES_MAX else []


def function_size_violations(source: Source) -> list[str]:
    lines = source.text.split("\n")
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            skipped = docstring_lines(node)
            body = [
                number
                for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
                if number not in skipped and lines[number - 1].strip() and lines[number - 1].strip()[0] != "#"
            ]
            if len(body) > FUNCTION_LINES_MAX:
                found.append(f"{source.module}:{node.lineno} {node.name} has {len(body)} lines of code")
    return found


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> range:
    first = node.body[0]
    prose = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return range(first.lineno, (first.end_lineno or first.lineno) + 1) if prose else range(0)


def name_violations(source: Source) -> list[str]:
    names = [(1, part) for part in source.module.split(".")]
    names += [
        (node.lineno, node.name)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [
        f"{source.module}:{line} {name} says too little"
        for line, name in names
        if any(word.lower() in EMPTY_WORDS for word in _WORD.findall(name))
    ]


def docstring_violations(source: Source) -> list[str]:
    if ast.get_docstring(source.tree):
        return []
    return [f"{source.module}: no docstring says what this file is for"]


def test_files_are_small_and_say_what_they_are_for() -> None:
    rules = (file_size_violations, function_size_violations, docstring_violations)
    everywhere = (*package_sources(), *other_sources())
    assert len(everywhere) > 600
    assert [found for one in everywhere for rule in rules for found in rule(one)] == []


def test_names_say_something() -> None:
    assert [found for one in package_sources() for found in name_violations(one)] == []


def test_a_planted_long_file_is_found() -> None:
    assert file_size_violations(planted("core.tally", "x = 1\n" * FILE_LINES_MAX)) == []
    assert len(file_size_violations(planted("core.tally", "x = 1\n" * (FILE_LINES_MAX + 1)))) == 1


def test_a_planted_long_function_is_found() -> None:
    body = "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    prose = '    """Long.\n' + "    more\n" * 90 + '    """\n' + "    # why\n\n" * 50
    function = "def f() -> None:\n" + prose + body
    assert function_size_violations(planted("core.tally", function)) == []
    found = function_size_violations(planted("core.tally", function + "    x = 1\n"))
    assert found == ["core.tally:1 f has 61 lines of code"]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("core.utils", ""),
        ("core.tally", "class LinkManager: ..."),
        ("core.tally", "class BaseCore: ..."),
        ("core.tally", "def vote_helper() -> None: ..."),
        ("core.tally", "class A:\n    async def common_part(self) -> None: ..."),
    ],
)
def test_a_planted_empty_name_is_found(module: str, text: str) -> None:
    assert len(name_violations(planted(module, text))) == 1


def test_words_are_judged_whole() -> None:
    text = "class Database: ...\ndef utilise() -> None: ..."
    assert name_violations(planted("crypto.base64_text", text)) == []


def test_a_planted_missing_docstring_is_found() -> None:
    assert len(docstring_violations(planted("core.tally", "x = 1"))) == 1
