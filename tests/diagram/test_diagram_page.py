"""Pages: everything inside, nothing from outside, filters with counts, a bounded size."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

from pictures import crowd, view_change
from test_diagram_svg import EVIL, evil_chronicle

from outvote.diagram.page import MESSAGES_MAX, PAGE_MESSAGES, page
from outvote.diagram.story import Story


class Outline(HTMLParser):
    """Tags with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)
            self._in_script = False

    def with_attribute(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.tags if name in attributes]


def test_every_kind_and_lane_has_a_filter_with_its_count() -> None:
    story = Story(crowd(500))
    text = page(story)
    for name, count in story.kinds.items():
        assert re.search(rf'data-kind="\d+">.*<span>{name}</span><i>{count}</i>', text)
    outline = Outline(text)
    assert len(outline.with_attribute("data-kind")) == 3
    assert len(outline.with_attribute("data-lane")) >= 4
    assert f'id="lies"> lies only <i>{story.lies}</i>' in text
    assert len(re.findall(r'class="m [^"]*"[^>]* data-k="\d+"', text)) >= 500


def test_parts_hold_all_messages_and_one_is_shown_at_a_time() -> None:
    text = page(Story(crowd(1000)))
    templates = re.findall(r'<template data-part="(\d+)"', text)
    assert templates == [str(index) for index in range(len(templates))]
    assert 1000 / PAGE_MESSAGES <= len(templates) <= 1000 / PAGE_MESSAGES + 2
    assert {int(number) for number in re.findall(r'data-n="(\d+)"', text)} == set(range(1, 1001))
    assert len(re.findall(r'<button class="part"', text)) == len(templates)


def test_a_long_run_is_bounded_and_says_what_was_left_out() -> None:
    text = page(Story(crowd(2 * MESSAGES_MAX)), elsewhere="ask for another part")
    drawn = len({int(number) for number in re.findall(r'data-n="(\d+)"', text)})
    assert MESSAGES_MAX - 10 < drawn <= MESSAGES_MAX
    assert f"{2 * MESSAGES_MAX - drawn} messages after are left out" in text
    assert "ask for another part" in text
    assert len(text) < 5_000_000


def test_a_page_needs_nothing_from_outside_and_runs_only_its_own_script() -> None:
    text = page(Story(view_change()))
    outline = Outline(text)
    assert [attributes for _, attributes in outline.tags if "src" in attributes or "href" in attributes] == []
    assert "url(http" not in text
    assert "@import" not in text
    (script,) = outline.scripts
    digest = b64encode(sha256(script.encode()).digest()).decode()
    (policy,) = [one["content"] for one in outline.with_attribute("http-equiv")]
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_no_text_becomes_a_tag_or_an_attribute() -> None:
    text = page(Story(evil_chronicle()), elsewhere=EVIL)
    outline = Outline(text)
    assert len(outline.scripts) == 1
    assert "alert" not in outline.scripts[0]
    assert text.count("<script") == 1
    harmless = {tag for tag, _ in Outline(page(Story(view_change()))).tags} | {"g", "text", "b", "br", "p"}
    assert {tag for tag, _ in outline.tags} <= harmless
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]


def test_the_program_of_the_how_to_writes_a_page(tmp_path: Path) -> None:
    program = Path(__file__).resolve().parents[2] / "docs_src" / "draw_a_run.py"
    subprocess.run([sys.executable, str(program)], cwd=tmp_path, check=True)
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "pbft, seed 17" in text
    assert re.search(r"Hidden: \d+ Status", text)


def test_a_violation_is_told_first_and_opened() -> None:
    chronicle = crowd(1000)
    chronicle.violation(chronicle.end, "agreement: two batches at one position")
    text = page(Story(chronicle))
    parts = len(re.findall(r"<template ", text))
    assert f'<body data-first="{parts - 1}">' in text
    assert '<button id="broken" class="broken"><b>VIOLATION</b> agreement: two batches at one position' in text
    early = page(Story(chronicle), until=5_000_000)
    assert "outside of this page" in early
