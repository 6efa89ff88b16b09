"""The tables of messages and records in PBFT's README are what the docstrings of messages.py and records.py say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Final

import pytest
from documents import ROOT

from outvote.core.contract import Hint, Message, Note, Record
from outvote.protocols.generals.dispatches import RECORDS as GENERALS_RECORDS
from outvote.protocols.generals.dispatches import OralDispatch, SignedDispatch
from outvote.protocols.generals.oral_messages import OralMessage
from outvote.protocols.generals.signed_messages import SignedOrder
from outvote.protocols.pbft.messages import MESSAGES, Commit, Decided, FetchedBatch, Prepare, PrePrepare
from outvote.protocols.pbft.records import RECORDS

README: Final = ROOT / "src" / "outvote" / "protocols" / "pbft" / "README.md"
_PARTIES: Final = re.compile(r"^([A-Z][\w ]*?) to ([\w ]+?)(?:,[^:]*)?: (.*)$")
_ANSWER: Final = re.compile(r"^The answer to ([A-Z-]+); (.*)$")


def paper_name(message: type[Message]) -> str:
    """PrePrepare -> PRE-PREPARE"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", message.__name__).upper()


def first_paragraph(subject: type[Message] | type[Record]) -> str:
    return " ".join((inspect.getdoc(subject) or "").partition("\n\n")[0].split())


def records_before(message: type[Message], records: Sequence[type[Record]] = RECORDS) -> list[str]:
    """The records whose docstring says that they come before this message."""
    word = re.compile(rf"(?<![A-Z-]){paper_name(message)}(?![A-Z-])")
    return [
        record.__name__
        for record in records
        if not issubclass(record, Note) and word.search(first_paragraph(record).partition("before ")[2])
    ]


def message_row(message: type[Message], records: Sequence[type[Record]] = RECORDS) -> str:
    text = first_paragraph(message)
    parties, answer = _PARTIES.match(text), _ANSWER.match(text)
    if parties:
        sender, receiver, meaning = parties.groups()
    elif answer:
        sender, receiver, meaning = "Replica", f"sender of {answer.group(1)}", answer.group(2)
    else:
        raise AssertionError(f"the docstring of {message.__name__} does not say who tells whom: {text}")
    cells = (
        f"{paper_name(message)}",
        sender.lower(),
        receiver,
        "hint" if issubclass(message, Hint) else "promise",
        "yes" if message.sealed else "no",
        " ".join(f"`{name}`" for name in records_before(message, records)) or "",
        meaning[0].upper() + meaning[1:],
    )
    return "| " + " | ".join(cells) + " |"


def message_table(messages: Sequence[type[Message]] = MESSAGES, records: Sequence[type[Record]] = RECORDS) -> str:
    head = "| Message | From | To | Kind | Sealed | Stands on | Says |\n|---|---|---|---|---|---|---|\n"
    return head + "\n".join(message_row(message, records) for message in messages) + "\n"


def record_table() -> str:
    rows = [
        f"| `{record.__name__}` | {'note' if issubclass(record, Note) else 'record'} | {first_paragraph(record)} |"
        for record in RECORDS
    ]
    return "| Name | Kind | Says |\n|---|---|---|\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize("table", [message_table(), record_table()], ids=["messages", "records"])
def test_the_readme_holds_the_table(table: str) -> None:
    assert table in README.read_text(), f"the README should hold this table:\n\n{table}"


def test_the_generals_readme_holds_theirs() -> None:
    text = (README.parents[1] / "generals" / "README.md").read_text()
    assert message_table((OralMessage, SignedOrder)) in text
    assert message_table((OralDispatch, SignedDispatch), GENERALS_RECORDS) in text


def test_the_table_tells_promises_from_hints() -> None:
    assert "| promise | yes | `Accepted` |" in message_row(PrePrepare)
    assert "| promise | no | `Prepared` |" in message_row(Commit)
    assert "| hint | no |  |" in message_row(Decided)
    assert "| replica | sender of FETCH-BATCH |" in message_row(FetchedBatch)


def test_a_record_counts_only_for_the_message_that_it_names() -> None:
    assert records_before(Prepare) == ["Accepted"]

    class Elsewhere(Record, frozen=True, tag=99):
        """Not for this one: before PRE-PREPARE."""

    assert records_before(Prepare, [Elsewhere]) == []
    assert records_before(PrePrepare, [Elsewhere]) == ["Elsewhere"]
