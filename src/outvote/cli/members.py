"""`outvote change-members`: what owners of replicas wish, told to their own replicas, and whether it came true.

Each replica obeys its owner alone: an order is sealed with that replica's key and sent to it. The change begins when a
quorum of members have been told the same, on whichever hosts that is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from outvote.cli import endings
from outvote.cli.orders import OWNERS_ORDER, Operator, parse_voters
from outvote.cli.status import Overview
from outvote.configuration.files import PartyKeys, load_genesis, load_replica_keys, replica_directory
from outvote.configuration.genesis import Genesis
from outvote.core.quorums import quorum
from outvote.errors import Mistake, NotEnoughReplicas, UnknownOutcome
from outvote.protocols.catalogue import protocol
from outvote.protocols.honeybadger.membership import MEMBERS_MIN
from outvote.types import ReplicaId

_LOOKS_EVERY_S: Final = 0.1
_ANSWER_WITHIN_S: Final = 1.0


def change_members(directory: Path, client: str | None, members: str, timeout_s: float, as_json: bool) -> int:
    """Tell every replica whose key is here that its owner wishes these members. Raises Mistake, NotEnoughReplicas,
    UnknownOutcome. Returns 1 if all of them refused."""
    genesis = _checked(directory, timeout_s)
    wanted = parse_voters(members, genesis.n, "members")
    if len(wanted) < MEMBERS_MIN:
        raise Mistake(f"name {MEMBERS_MIN} members or more: fewer would bear no liar")
    keys = [
        load_replica_keys(directory, replica, genesis)
        for replica in range(genesis.n)
        if replica_directory(directory, replica).is_dir()
    ]
    if not keys:
        raise Mistake(
            f"{directory} holds no replica's keys, and an order is sealed with one: run this on a replica's host"
        )
    return asyncio.run(_carry_out(directory, client, keys, wanted, timeout_s, as_json))


def _checked(directory: Path, timeout_s: float) -> Genesis:
    genesis = load_genesis(directory)
    if OWNERS_ORDER not in protocol(genesis.entry).operations:
        raise Mistake(f"members cannot be changed with {genesis.protocol}: honeybadger can, and raft changes voters")
    if genesis.threshold is None or not genesis.threshold.registrations:
        raise Mistake(
            "the threshold keys of this cluster were dealt, and its replicas cannot hand them over: make a cluster with"
            " --threshold-keys generated"
        )
    if timeout_s <= 0:
        raise Mistake("--timeout must be more than 0 seconds")
    return genesis


async def _carry_out(
    directory: Path, client: str | None, keys: Sequence[PartyKeys], wanted: tuple[ReplicaId, ...], timeout_s: float,
    as_json: bool,
) -> int:
    operator = Operator(directory, client)
    deadline = time.monotonic() + timeout_s
    refusals: dict[ReplicaId, str] = {}
    told: list[ReplicaId] = []
    try:
        overview = await operator.overview(_ANSWER_WITHIN_S)
        if not done(overview, wanted):
            await _tell(operator, overview, keys, wanted, told, refusals)
            if not told:
                return _end(told, refusals, wanted, False, as_json)
        while not done(overview, wanted):
            if time.monotonic() > deadline:
                raise UnknownOutcome(
                    f"told replicas {_listed(told)}, and members have not changed after {timeout_s:g} s: it takes"
                    " the owners of a quorum of members, and the new ones must run; look at outvote status"
                )
            await asyncio.sleep(_LOOKS_EVERY_S)
            overview = await operator.overview(_ANSWER_WITHIN_S)
    finally:
        await operator.close()
    return _end(told, refusals, wanted, True, as_json)


async def _tell(
    operator: Operator, overview: Overview, keys: Sequence[PartyKeys], wanted: tuple[ReplicaId, ...],
    told: list[ReplicaId], refusals: dict[ReplicaId, str],
) -> None:
    """Raises NotEnoughReplicas if none of them answers."""
    argument, answers = sum(1 << one for one in wanted), 0
    for one in keys:
        report = overview.reports[one.party]
        if report is None:
            refusals[one.party] = "it does not answer"
            continue
        try:
            refusal = await operator.order(report, OWNERS_ORDER, argument, one)
        except UnknownOutcome:
            refusals[one.party] = "it did not answer the order"
            continue
        answers += 1
        if refusal:
            refusals[one.party] = refusal
        else:
            told.append(one.party)
    if not answers:
        raise NotEnoughReplicas("no replica whose key is here answers", may_execute=False)


def done(overview: Overview, wanted: tuple[ReplicaId, ...]) -> bool:
    """Whether a quorum of those who are to be members say that they are: among them are correct ones."""
    standings = [
        one.standing for one in overview.reports if one is not None and one.replica in wanted
    ]
    everybody = tuple(range(len(overview.reports)))
    so = sum(1 for one in standings if (one.voters or everybody) == wanted and not one.changing)
    return so >= quorum(len(wanted))


def _end(
    told: Sequence[ReplicaId], refusals: dict[ReplicaId, str], wanted: tuple[ReplicaId, ...], is_done: bool,
    as_json: bool,
) -> int:
    if as_json:
        print(json.dumps({"done": is_done, "members": wanted, "told": list(told), "refused": refusals}))
        return endings.DONE if is_done else endings.NEGATIVE
    for replica, why in sorted(refusals.items()):
        endings.complain(f"replica {replica}: {why}")
    if is_done:
        print(f"replicas {_listed(wanted)} are the members")
    return endings.DONE if is_done else endings.NEGATIVE


def _listed(replicas: Sequence[ReplicaId]) -> str:
    return ", ".join(map(str, replicas))
