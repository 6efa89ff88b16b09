"""Pictures: well-formed, escaped, with as many arrows as messages, red lies and crossed losses."""

from __future__ import annotations

import os
import re
from xml.etree import ElementTree as Xml

import pytest
from pictures import FOLDER, crowd, held_leader_pictures, late_order_picture, view_change_picture

from outvote.diagram.story import Story
from outvote.diagram.svg import PICTURE_MESSAGES_MAX, picture
from outvote.observe.chronicle import Chronicle, EventKind

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert(1)</script> "&\' ]]> </title></svg>\x00\x0b\ud800'


def parsed(text: str) -> Xml.Element:
    return Xml.fromstring(text)  # noqa: S314 - our own text, parsed to see whether it can be


def of_class(root: Xml.Element, css: str) -> list[Xml.Element]:
    return [element for element in root.iter() if css in element.get("class", "").split()]


def test_as_many_arrows_as_messages_and_copies() -> None:
    chronicle = crowd(200)
    story = Story(chronicle)
    arrows = of_class(parsed(picture(story)), "m")
    drawn = [arrow for arrow in arrows if arrow.get("data-n")]  # the legend has lines too
    assert len(drawn) == sum(len(one.endings) for one in story.passages.values())
    assert {int(arrow.get("data-n", "")) for arrow in drawn} == set(story.passages)
    for arrow in drawn:
        sent = story.passages[int(arrow.get("data-n", ""))].sent
        assert (arrow.get("data-f"), arrow.get("data-t")) == (str(sent.lane), str(sent.peer))


def test_lies_are_red_and_losses_crossed() -> None:
    story = Story(crowd(200))
    text = picture(story)
    root = parsed(text)
    drawn = {int(arrow.get("data-n", "0")): arrow for arrow in of_class(root, "m") if arrow.get("data-n")}
    for number, one in story.passages.items():
        css = drawn[number].get("class", "").split()
        assert ("lie" in css) == one.sent.is_lie
        assert ("lost" in css) == (not one.endings[0].arrived)
        crosses = [path for path in drawn[number].iter(f"{SVG}path") if path.get("class") == "cross"]
        assert len(crosses) == ("lost" in css)
    assert story.lies == 10
    assert story.losses == 20
    assert re.search(r"\.lie \{ --c: var\(--lie\); \}", text)
    assert re.search(r"--lie: #d90429", text)
    kinds = {css for arrow in drawn.values() for css in arrow.get("class", "").split() if re.fullmatch(r"k\d+", css)}
    assert len(kinds) == 3, "a colour a kind"


def evil_chronicle() -> Chronicle:
    chronicle = Chronicle(EVIL)
    chronicle.add_lane(EVIL, EVIL, EVIL, is_liar=True)
    chronicle.add_lane(EVIL)
    number = chronicle.sent(1, 0, 1, EVIL, EVIL, EVIL)
    for kind in EventKind:
        if kind not in (EventKind.SENT, EventKind.ARRIVED, EventKind.LOST):
            chronicle.happened(1, kind, 0, EVIL, EVIL, peer=1)
    chronicle.lost(2, number, EVIL)
    chronicle.fault(3, EVIL)
    chronicle.violation(3, EVIL)
    return chronicle


def test_no_text_breaks_out() -> None:
    text = picture(Story(evil_chronicle()), elsewhere=EVIL)
    assert "<script" not in text
    root = parsed(text)
    assert not list(root.iter(f"{SVG}script"))
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert any("<script>alert(1)</script>" in title for title in titles), "the text itself is kept"
    text.encode("utf-8")


def test_the_violation_cannot_be_missed() -> None:
    chronicle = crowd(1000)
    chronicle.violation(chronicle.end, "agreement: two batches at one position")
    root = parsed(picture(Story(chronicle)))
    (band,) = of_class(root, "violation")
    box = next(band.iter(f"{SVG}rect"))
    assert box.get("width") == root.get("width")
    assert "VIOLATION" in (next(band.iter(f"{SVG}text")).text or "")


def test_a_long_run_is_cut_and_says_so() -> None:
    chronicle = crowd(5000)
    text = picture(Story(chronicle), elsewhere="ask for another part")
    drawn = re.findall(r'data-n="(\d+)"', text)
    assert PICTURE_MESSAGES_MAX - 10 < len(set(drawn)) <= PICTURE_MESSAGES_MAX
    assert f"{len(set(drawn))} of 5000 messages" in text
    assert re.search(rf"Left out: 0 messages before, {5000 - len(set(drawn))} after\.", text)
    assert "ask for another part" in text
    assert len(text) < 600_000
    assert "ask for another part" not in picture(Story(crowd(20)), elsewhere="ask for another part")


def test_rounds_are_a_unit_too() -> None:
    chronicle = Chronicle("generals", unit="round", unit_ns=2)
    for name in ("commander", "lieutenant 1"):
        chronicle.add_lane(name, "general")
    chronicle.arrived(1, chronicle.sent(0, 0, 1, "Order", "attack"))
    chronicle.happened(2, EventKind.NOTE, 1, "attacks")
    text = picture(Story(chronicle))
    assert ">0 round<" in text
    assert "attacks" in text
    assert "commander → lieutenant 1" in text


@pytest.mark.parametrize(
    ("at", "shown"),
    [(0, "0 ms"), (1_203_482_000, "1203.482 ms"), (1_500_000, "1.5 ms"), (999_999_999, "1000 ms"), (50_000, "0.05 ms")],
)
def test_times_are_short(at: int, shown: str) -> None:
    assert Chronicle().show_time(at) == shown


def test_the_picture_of_the_how_to_is_what_is_drawn_today() -> None:
    path = FOLDER / "view_change.svg"
    now = view_change_picture()
    if os.environ.get("REWRITE_PICTURES", "") not in ("", "0"):
        path.write_text(now, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == now, "run this test with REWRITE_PICTURES=1 and look at the picture"
    assert len(now) < 150_000
    for text in ("leaves for view 1", ">view 1<", "NewView v1", "crashes", "delivers 1"):
        assert text in now


def test_the_generals_picture_is_what_is_drawn_today() -> None:
    path = FOLDER / "late_order.svg"
    now = late_order_picture()
    if os.environ.get("REWRITE_PICTURES", "") not in ("", "0"):
        path.write_text(now, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == now, "run this test with REWRITE_PICTURES=1 and look at the picture"
    for text in ("traitor", "decides attack", "a path of 2 in round 3", "EVIDENCE"):
        assert text in now


def test_the_pictures_of_one_schedule_for_two_protocols_are_up_to_date() -> None:
    for name, now in zip(("held_leader", "nobody_leads"), held_leader_pictures(), strict=True):
        path = FOLDER / f"{name}.svg"
        if os.environ.get("REWRITE_PICTURES", "") not in ("", "0"):
            path.write_text(now, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == now, "run this test with REWRITE_PICTURES=1 and look at the picture"
        assert ("delivers" in now) == (name == "nobody_leads")
