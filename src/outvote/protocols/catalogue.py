"""Every protocol by name: how to make a core, its tables of messages and records, and what is true of it.

The only module that sees all protocols; hosts, the simulator and the conformance tests know protocols through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from outvote.core.committee import Committee
from outvote.core.contract import Claim, Core, Message, Record
from outvote.errors import Mistake
from outvote.protocols.pbft import lies as pbft_lies
from outvote.protocols.pbft import records as pbft_records
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.messages import MESSAGES as PBFT_MESSAGES
from outvote.protocols.pbft.replica import PbftReplica
from outvote.types import MILLISECOND, ReplicaId

Certificate = tuple[list[Claim], int]  # the claims it consists of, and how many different signers it needs


class Protocol(NamedTuple):
    """One entry of the catalogue."""

    name: str
    byzantine: bool  # tolerates lies, not only crashes
    messages: tuple[type[Message], ...]
    records: tuple[type[Record], ...]
    make: Callable[[ReplicaId, Committee, Mapping[str, int]], Core]  # parameters of the genesis, by name
    certificates: Callable[[Record, Committee], list[Certificate]]  # what a record relies on
    variant: Callable[[Message, int], Message | None]  # what a liar could say instead, for the adversaries
    agreement: Callable[[Message], tuple[Message, ...]]  # votes of one who agrees with whatever it hears
    ordering: tuple[str, ...]  # the message types that the paper's formula counts
    formula: Callable[[int], int]  # of n: messages of those types in one decision without faults
    marks: Callable[[Record], tuple[str, ...]]  # what a record is a sign of, for the simulator's coverage
    expected_marks: tuple[str, ...]  # all of them: a batch of runs that misses one has tested too little


def _make_pbft(me: ReplicaId, committee: Committee, parameters: Mapping[str, int]) -> PbftReplica:
    """Times are given in milliseconds there and kept in nanoseconds here."""
    fields: dict[str, int] = {}
    for name, value in parameters.items():
        fields[name.removesuffix("_ms") + "_ns" if name.endswith("_ms") else name] = (
            value * MILLISECOND if name.endswith("_ms") else value
        )
    try:
        config = PbftConfig(**fields)
    except TypeError as error:
        raise Mistake(f"parameters: {error}") from error
    return PbftReplica(me, committee, config.fitted(committee.n))


PBFT: Final = Protocol(
    name="pbft",
    byzantine=True,
    messages=PBFT_MESSAGES,
    records=pbft_records.RECORDS,
    make=_make_pbft,
    certificates=pbft_records.certificates,
    variant=pbft_lies.variant,
    agreement=pbft_lies.agreement,
    ordering=("PrePrepare", "Prepare", "Commit"),
    formula=lambda n: 2 * n * (n - 1),
    marks=pbft_records.marks,
    expected_marks=pbft_records.MARKS,
)

PROTOCOLS: Final[Mapping[str, Protocol]] = {PBFT.name: PBFT}


def protocol(name: str) -> Protocol:
    """Raises Mistake if there is none of this name."""
    found = PROTOCOLS.get(name)
    if found is None:
        raise Mistake(f"there is no protocol {name!r}: choose one of {', '.join(sorted(PROTOCOLS))}")
    return found
