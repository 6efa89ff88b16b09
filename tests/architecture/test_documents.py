"""Documents point at things that exist, and no file names the machine it was written on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from source_tree import PACKAGE, ROOT, tracked_files

_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_HEADING: Final = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
_PYTHON_FILE: Final = re.compile(r"[\w./*-]*\w\.py\b")
_OUTSIDE: Final = re.compile(r"^[a-z]+:")
# Spelled in pieces, so that this file passes its own rule.
_MACHINE_PATH: Final = re.compile(
    r"(?<![\w.>})*~-])/(?:" + "|".join(("home", "root", "Users", "work")) + r")/"
)
_PACKAGE_INDEX: Final = re.compile("index" + r"[-_]url|trusted" + r"[-_]host|find" + r"-links", re.IGNORECASE)


def documents() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".md"]


def anchors(text: str) -> list[str]:
    """The anchors that a forge gives to headings: lower case, punctuation dropped, spaces to hyphens."""
    found: list[str] = []
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        repeats = sum(1 for one in found if one == slug or re.fullmatch(re.escape(slug) + r"-\d+", one))
        found.append(f"{slug}-{repeats}" if repeats else slug)
    return found


def link_violations(path: Path, text: str) -> list[str]:
    prose = _FENCE.sub("", text)
    found = []
    for target in _LINK.findall(prose):
        if _OUTSIDE.match(target):
            continue
        name, _, anchor = target.partition("#")
        aim = (path.parent / name).resolve() if name else path
        if name and not aim.exists():
            found.append(f"{path.name}: {target} does not exist")
        elif anchor and anchor not in anchors(text if aim == path else aim.read_text()):
            found.append(f"{path.name}: {target} has no such heading")
    return found


def named_file_violations(text: str) -> list[str]:
    """Python files named in a document that stand neither at the root nor in the package. Targets of links count for
    the rule about links."""
    return [
        f"{name} does not exist"
        for name in _PYTHON_FILE.findall(_LINK.sub("", text))
        if not any((folder / name).is_file() for folder in (ROOT, PACKAGE)) and not list(ROOT.glob(name))
    ]


def machine_violations(name: str, text: str) -> list[str]:
    return [
        f"{name}:{number} {line.strip()[:100]}"
        for number, line in enumerate(text.split("\n"), 1)
        if _MACHINE_PATH.search(line) or _PACKAGE_INDEX.search(line)
    ]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    assert link_violations(path, path.read_text()) == []


def test_the_map_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "map.md").read_text()
    assert _PYTHON_FILE.findall(text), "a map names files"
    assert named_file_violations(text) == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    found: list[str] = []
    for path in tracked_files():
        found += machine_violations(str(path.relative_to(ROOT)), path.read_bytes().decode(errors="replace"))
    assert found == []


def test_a_planted_broken_link_is_found(tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text("# One heading, two `words`\n\n## Twice\n\n## Twice\n")
    here = tmp_path / "here.md"
    good = "[a](other.md) [b](other.md#one-heading-two-words) [c](#here) [e](other.md#twice-1) [d](https://a.org/x)"
    assert link_violations(here, f"# Here\n\n{good}\n\n```\n[f](missing.md)\n```\n") == []
    bad = "[a](missing.md) [b](other.md#nothing) [c](#nowhere) ![d](missing.svg) [e](other.md#twice-2)"
    assert len(link_violations(here, f"# Here\n\n{bad}\n")) == 5


def test_a_planted_missing_file_is_found() -> None:
    assert named_file_violations("`core/quorums.py`, then `src/outvote/core/contract.py`") == []
    assert named_file_violations("`core/quorum_helper.py`") == ["core/quorum_helper.py does not exist"]


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "home/somebody/outvote",
        'open("/' + 'root/key")',
        "/" + "work/main/src",
        "pip install --index" + "-url https://example.org/simple outvote",
    ],
)
def test_a_planted_machine_name_is_found(text: str) -> None:
    assert len(machine_violations("file", f"fine\n{text}\n")) == 1


def test_relative_paths_are_not_machine_names() -> None:
    assert machine_violations("file", "docs/work/x, ${HOME}/work/y, ~/home/z, network/root/w") == []
