"""From one era's members to the next one's, at one replica: what membership.py has agreed on, put into effect.

Kept: words, keys and votes are of one era at a time. The next one is entered with the certificate of the state behind
the old one's last epoch in hand, never before; then the old share is let go of, and epochs, words and votes of the old
era are gone with everything else behind a stable checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from outvote.core.contract import Record
from outvote.protocols.honeybadger.handing import Handover, Holding, Part
from outvote.protocols.honeybadger.keys import NO_KEYS, Keys
from outvote.protocols.honeybadger.membership import Members, Roster, Word, after, entered, members_of
from outvote.protocols.honeybadger.messages import (
    Batch,
    Certificate,
    Handing,
    Helping,
    Needing,
    Possessed,
    StableProof,
    Transcribed,
)
from outvote.protocols.honeybadger.records import Certified, Passed, Reshared, Wished, reshared
from outvote.protocols.honeybadger.state import State
from outvote.types import Position, ReplicaId

ABOUT_MEMBERS = (Handing, Possessed, Needing, Transcribed, Helping)
MembersMessage = Handing | Possessed | Needing | Transcribed | Helping
MASK_MAX = 63  # replicas that a wish has bits for: 64 with a sign


# ---------------------------------------------------------------- what is wished and said


def wish(state: State, mask: int) -> str:
    """Our owner's. Returns why not, or nothing."""
    n, roster = state.committee.n, state.roster
    target = members_of(mask, n) if n <= MASK_MAX else None
    if target is None:
        return f"members are four replicas or more, from 0 to {min(n, MASK_MAX) - 1}"
    if state.keys.shares is None:
        return "members change in clusters that make their threshold keys together: --threshold-keys generated"
    if state.members.place(state.me) is None:
        return "this replica is no member, so it has no say in who is"
    if roster.next is not None:
        return "a change is agreed on and about to happen"
    state.wish = mask
    state.out.records.append(Wished(state.members.era.number, mask))
    return ""


def word(state: State) -> Word | None:
    """What is still to be said in what we propose, until it is in an output."""
    roster = state.roster
    if roster.next is not None:
        return None
    wished = state.wish if roster.wish_of(state.me) != state.wish else 0
    handed = state.handover.handed if state.handover is not None else None
    if handed is not None and roster.handed_by(state.me) == handed:
        handed = None
    return Word(wished, handed) if wished or handed is not None else None


def urges(state: State) -> bool:
    """Whether epochs are needed though nobody has a request: for what we have to say, or to come to the era's end."""
    return state.roster.next is not None or word(state) is not None


# ---------------------------------------------------------------- what was agreed on


def delivered(state: State, number: Position, batch: Batch) -> None:
    ahead = state.config.pipeline + state.config.epochs_ahead
    state.roster = after(state.roster, number, batch.words, state.committee.n, ahead)
    if state.is_checkpoint(number):
        state.rosters[number] = state.roster
    follow(state)


def executed_before(state: State, number: Position, batch: Batch) -> None:
    """It is in the state that the executor came back with."""
    ahead = state.config.pipeline + state.config.epochs_ahead
    state.roster = after(state.roster, number, batch.words, state.committee.n, ahead)


def rewound(state: State, certificate: Certificate) -> None:
    """Its state is fetched: whatever was delivered, it goes on from there."""
    if not certificate.links:
        state.roster = state.roster_of(certificate)
    follow(state)


def follow(state: State) -> None:
    """Take part in the re-sharing that the roster calls for, if we are concerned."""
    roster = state.roster
    change = roster.change
    if state.keys.shares is None or (state.handover is not None and state.handover.change != change):
        state.handover = None
    concerned = change is not None and (state.members.place(state.me) is not None or state.me in change.target)
    if state.keys.shares is not None and state.handover is None and concerned and change is not None:
        state.handover = Handover(_part(state, state.keys), roster.era, change, state.passed)
        known = state.reshared.get(change.began)
        if known is not None:
            state.handover.take(known.agreed())
        state.handover.begin()
    if roster.next is not None:
        prepare(state, roster)


def prepare(state: State, roster: Roster) -> None:
    """If we are a member of the next era, have what that takes."""
    era, shares = roster.next, state.keys.shares
    assert era is not None
    if shares is None or state.me not in era.members:
        state.coming = None
        return
    if state.coming is None or state.coming.era != era:
        state.coming = Holding(_part(state, state.keys), roster.era, era)
    known, handover = state.reshared.get(era.began), state.handover
    if handover is not None and handover.agreed is not None:
        state.coming.take(handover.agreed, handover.outcome)
    elif known is not None:
        state.coming.take(known.agreed())


def enter(state: State, link: Certificate) -> None:
    """The state behind an era's last epoch is certified, and with it who comes next."""
    roster = state.roster_of(link)
    prepare(state, roster)
    state.holding, state.coming = state.coming, None
    state.links.append(link)
    state.roster = entered(roster)
    state.members = Members(state.roster.era)
    state.checkpoint_votes.of(state.members)
    state.rosters.clear()
    state.told.clear()
    state.wish = 0
    state.handover = None
    state.passed = []
    began = state.roster.era.began
    # At a restart the words of later changes are here already, while the links to them are gone through.
    state.reshared = {at: one for at, one in state.reshared.items() if at >= began}
    take_keys(state)


def take_keys(state: State) -> None:
    """Those of the era in force, if they are here; the ones before are forgotten."""
    shares, holding = state.keys.shares, state.holding
    if shares is None:
        return
    outcome = holding.outcome if holding is not None and holding.has_share() else None
    shares.adopt(outcome)
    state.takes_part = outcome is not None
    coin, encryption = NO_KEYS if outcome is None else outcome.keys()
    # Whoever does our jobs, in a process of its own perhaps, has the first era's keys: they carry these.
    state.desk.carried = b"" if outcome is None else outcome.carried()
    state.keys = state.keys._replace(coin=coin, encryption=encryption, deferred=state.defers and outcome is not None)


def gained(state: State) -> None:
    """Our share has come, perhaps after we had begun without it, or a restart had: go on where we were."""
    take_keys(state)
    for number, words in sorted(state.said.items()):
        for one in words:
            state.epoch(number).bind(one.message)
    if state.handover is not None:
        state.passed, state.handover = state.handover.spoken, None
        follow(state)


def certified(state: State, certificate: Certificate) -> None:
    """The low watermark has moved here. What is delivered may be further, but never beyond the era's end."""
    if certificate.links:
        enter(state, certificate)
    elif state.delivered < certificate.position:
        state.roster = state.roster_of(certificate)
    if state.delivered <= certificate.position:
        follow(state)
    state.rosters = {at: one for at, one in state.rosters.items() if at > certificate.position}


# ---------------------------------------------------------------- laggards


def proof(state: State, stable: Position) -> StableProof:
    """For one whose last stable checkpoint is there."""
    before = tuple(one for one in state.links if stable < one.position < state.certified.position)
    return StableProof(state.certified, before)


def follows(state: State, message: StableProof) -> bool:
    """Whether it is certified by members, of our era or of one that the links lead to from there."""
    members = state.members
    for link in message.links:
        if link.position <= state.low:
            continue
        roster = state.roster_of(link)
        if not link.links or roster.era != members.era or not members.sound(link.seals) or roster.next is None:
            return False
        members = Members(roster.next)
    certificate = message.certificate
    return state.roster_of(certificate).era == members.era and members.sound(certificate.seals)


def take_links(state: State, links: Sequence[Certificate]) -> None:
    """They have been looked at: on the way to a state that is fetched."""
    for link in links:
        if link.position > state.low and link.position > max((one.position for one in state.links), default=0):
            state.out.records.append(Certified(link))
            enter(state, link)


# ---------------------------------------------------------------- messages


def admits(state: State, sender: ReplicaId, message: MembersMessage) -> bool:
    if isinstance(message, Handing):
        return state.handover is not None and state.handover.admits(sender, message)
    if isinstance(message, Possessed):
        return state.handover is not None and state.handover.admits_possessed(sender, message)
    return any(one.admits(sender, message) for one in holdings(state))


def receive(state: State, sender: ReplicaId, message: MembersMessage) -> None:
    """`admits` has looked at it."""
    if not isinstance(message, Needing):
        state.heard += 1
    if isinstance(message, Handing):
        assert state.handover is not None
        state.handover.receive(sender, message)
        return
    if isinstance(message, Possessed):
        assert state.handover is not None
        state.handover.on_possessed(sender, message)
        return
    for holding in holdings(state):
        if not holding.admits(sender, message):
            continue
        if isinstance(message, Needing):
            holding.asked_by[sender] = message
        else:
            lacked = not holding.has_share()
            if isinstance(message, Transcribed):
                holding.on_transcribed(message)
            else:
                holding.on_helping(sender, message)
            if lacked and holding.has_share() and holding is state.holding:
                gained(state)


def holdings(state: State) -> list[Holding]:
    return [one for one in (state.holding, state.coming) if one is not None]


def on_lacking(state: State, asker: ReplicaId) -> None:
    if state.handover is not None:
        state.handover.say_again(asker)
    for holding in holdings(state):
        holding.answer(asker)


def ask(state: State) -> None:
    for holding in holdings(state):
        holding.ask()


def note(state: State) -> str:
    """For people, behind another one."""
    roster, said = state.roster, ""
    if roster.change is None and state.holding is None and state.coming is None:
        return said
    if roster.change is not None:
        named = ", ".join(map(str, roster.change.target))
        said = f", {'going over' if roster.next else 'handing keys over'} to {named}"
    missing = any(not one.has_share() for one in holdings(state))
    return said + ", our share of the keys is missing" * missing


def lacks(state: State) -> bool:
    """Whether something about keys is still to come here. Words of a re-sharing that came before we had delivered its
    beginning were not admitted; under load, epochs alone would always bring something new, and we should never ask."""
    pending = state.handover is not None and state.handover.handed is None
    return pending or any(not one.has_share() for one in holdings(state))


def come_far(state: State) -> int:
    """Grows with every step of a re-sharing here; a liar's words alone are no step, so they keep nobody from asking."""
    handover, here = state.handover, [one.agreed is not None for one in holdings(state)]
    return sum(here) + (0 if handover is None else len(handover.spoken) + len(handover.possessed))


def unfinished(state: State) -> bool:
    under_way = state.handover is not None or state.roster.next is not None or word(state) is not None
    return under_way or any(not one.has_share() for one in holdings(state))


# ---------------------------------------------------------------- restarts


def summary(state: State) -> list[Record]:
    """Besides the last certificate: the links to it, our owner's wish, and the words of a re-sharing under way."""
    records: list[Record] = [Certified(one) for one in state.links if one.position < state.low]
    if state.wish:
        records.append(Wished(state.members.era.number, state.wish))
    records += state.handover.spoken if state.handover is not None else state.passed
    held = [one.agreed for one in holdings(state)]
    began = [one.era.began for one in holdings(state)]
    if state.handover is not None:
        held.append(state.handover.agreed)
        began.append(state.handover.change.began)
    known = {at: reshared(at, one) for at, one in zip(began, held, strict=True) if one is not None}
    return [*records, *({**state.reshared, **known}.values())]


def restore(state: State, records: Sequence[Record], certificates: Mapping[Position, Certificate]) -> None:
    """The era as of the last certified checkpoint; what follows is delivered again."""
    state.reshared = {one.began: one for one in records if isinstance(one, Reshared)}
    for _, link in sorted(certificates.items()):
        if link.links:
            enter(state, link)
    state.roster = entered(state.roster_of(state.certified)) if state.certified.links else state.roster_of(
        state.certified)
    number = state.members.era.number
    state.passed = [one for one in records if isinstance(one, Passed)]
    state.wish = next(
        (one.wish for one in reversed(records) if isinstance(one, Wished) and one.era == number), 0
    )


def _part(state: State, keys: Keys) -> Part:
    assert keys.shares is not None
    coin = keys.coin if state.takes_part else None
    return Part(state.me, sha256(keys.cluster).digest(), keys.shares, coin, state.out)
