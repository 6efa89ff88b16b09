"""Every behaviour by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from outvote.errors import Mistake
from outvote.protocols.catalogue import PROTOCOLS
from outvote.simulator.adversaries.amnesiac import Amnesiac
from outvote.simulator.adversaries.babbler import Babbler
from outvote.simulator.adversaries.bad_seals import BadSeals
from outvote.simulator.adversaries.behaviour import Aimed, Behaviour
from outvote.simulator.adversaries.deaf_to_clients import DeafToClients
from outvote.simulator.adversaries.equivocator import Equivocator
from outvote.simulator.adversaries.flipped_bits import FlippedBits
from outvote.simulator.adversaries.flipped_memory import FlippedMemory
from outvote.simulator.adversaries.flooder import Flooder
from outvote.simulator.adversaries.half_broadcaster import HalfBroadcaster
from outvote.simulator.adversaries.hasty import Hasty
from outvote.simulator.adversaries.heavy_flooder import HeavyFlooder
from outvote.simulator.adversaries.height_liar import HeightLiar
from outvote.simulator.adversaries.in_other_words import InOtherWords
from outvote.simulator.adversaries.misplacer import Misplacer
from outvote.simulator.adversaries.mutator import Mutate
from outvote.simulator.adversaries.omitter import Omitter
from outvote.simulator.adversaries.parrot import Parrot
from outvote.simulator.adversaries.part_shifter import PartShifter
from outvote.simulator.adversaries.part_withholder import PartWithholder
from outvote.simulator.adversaries.powers import Powers
from outvote.simulator.adversaries.proposal_equivocator import ProposalEquivocator
from outvote.simulator.adversaries.replayer import Replayer
from outvote.simulator.adversaries.reply_forger import ReplyForger
from outvote.simulator.adversaries.reversed_bytes import ReversedBytes
from outvote.simulator.adversaries.shuffler import Shuffler
from outvote.simulator.adversaries.silent import Silent
from outvote.simulator.adversaries.sins import parse_sin
from outvote.simulator.adversaries.slow import Slow
from outvote.simulator.adversaries.slow_proposer import SlowProposer
from outvote.simulator.adversaries.stale_reader import StaleReader
from outvote.simulator.adversaries.stale_version import StaleVersion
from outvote.simulator.adversaries.stammerer import Stammerer
from outvote.simulator.adversaries.sync_only import SyncOnly
from outvote.simulator.adversaries.three_tongued import ThreeTongued
from outvote.simulator.adversaries.time_traveller import TimeTraveller
from outvote.simulator.adversaries.transfer_liar import TransferLiar
from outvote.simulator.adversaries.two_faced import TwoFaced
from outvote.simulator.adversaries.usurper import Usurper
from outvote.simulator.adversaries.vote_withholder import VoteWithholder
from outvote.simulator.adversaries.whole_spoiler import WholeSpoiler
from outvote.simulator.adversaries.whole_withholder import WholeWithholder
from outvote.simulator.adversaries.yes_man import YesMan

Kind = Callable[[Powers], Behaviour]

# Gray faults: machines that are broken, and nobody means any harm. The swarm draws them from a stream of their own.
GRAY: Final[Mapping[str, type[Behaviour]]] = {
    "bitflip": FlippedBits,
    "bitflip-memory": FlippedMemory,
    "endianness": ReversedBytes,
    "stale-version": StaleVersion,
}

# Whatever the protocol.
GENERAL: Final[Mapping[str, type[Behaviour]]] = {
    "silent": Silent,
    "sync-only": SyncOnly,
    "withhold-votes": VoteWithholder,
    "omit": Omitter,
    "half-broadcast": HalfBroadcaster,
    "slow": Slow,
    "slow-proposals": SlowProposer,
    "shuffle": Shuffler,
    "equivocate": Equivocator,
    "equivocate-proposals": ProposalEquivocator,
    "three-versions": ThreeTongued,
    "agree-with-all": YesMan,
    "usurp": Usurper,
    "repeat": Stammerer,
    "replay": Replayer,
    "time-travel": TimeTraveller,
    "parrot": Parrot,
    "bad-seals": BadSeals,
    "babble": Babbler,
    "flood": Flooder,
    "flood-bytes": HeavyFlooder,
    "amnesia": Amnesiac,
    "forge-replies": ReplyForger,
    "two-faced": TwoFaced,
    "misplace-replies": Misplacer,
    "withhold-replies": DeafToClients,
    "stale-reads": StaleReader,
    "call-it-final": Hasty,
    "withhold-results": WholeWithholder,
    "spoil-results": WholeSpoiler,
    "spoil-transfers": TransferLiar,
    "withhold-parts": PartWithholder,
    "shift-parts": PartShifter,
    "lie-of-heights": HeightLiar,
    **GRAY,
}

BEHAVIOURS: Final[dict[str, Kind]] = {
    **GENERAL,
    **{name: partial(InOtherWords, name=name) for protocol in PROTOCOLS.values() for name in protocol.lies},
}

# What takes an argument. `mutate` cannot do without one: a campaign plans it, a swarm does not draw it.
WITH_ARGUMENT: Final[Mapping[str, Callable[[Powers, str], Behaviour]]] = {
    "mutate": Mutate, "slow": Slow, "slow-proposals": SlowProposer,
}


def names_for(protocol: str) -> list[str]:
    """The behaviours that mean something in this protocol."""
    return sorted((*GENERAL, *PROTOCOLS[protocol].lies))


def told_of(name: str) -> str:
    """What a behaviour does, in a line. Raises KeyError if there is none of this name."""
    kind = GENERAL.get(name)
    if kind is not None:
        text = sys.modules[kind.__module__].__doc__
    else:
        lies = next(protocol.lies for protocol in PROTOCOLS.values() if name in protocol.lies)
        lie = lies[name]
        alone = sum(one.__module__ == lie.__module__ for one in lies.values()) == 1
        text = sys.modules[lie.__module__].__doc__ if alone else lie.__doc__
    return (text or "").strip().split("\n")[0]


def behaviour(text: str, powers: Powers) -> Behaviour:
    """What a sin in words stands for (see sins.py). Raises Mistake if there is none of this name, or if its argument
    does not fit it."""
    sin = parse_sin(text)
    kind = BEHAVIOURS.get(sin.name)
    with_argument = WITH_ARGUMENT.get(sin.name)
    if with_argument is not None:
        argument = sin.argument

        def with_its_argument(powers: Powers) -> Behaviour:
            return with_argument(powers, argument)

        kind = with_its_argument
    elif sin.argument and kind is not None:
        raise Mistake(f"{text!r}: {sin.name} takes no argument; those that do are {', '.join(WITH_ARGUMENT)}")
    if kind is None:
        raise Mistake(f"there is no behaviour {sin.name!r}: choose from {', '.join(BEHAVIOURS)}")
    return Aimed(kind, powers, sin.targets, sin.since, sin.until) if sin.aimed else kind(powers)
