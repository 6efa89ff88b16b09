"""One battle: the loop that keeps the generals' rounds, their signatures and their traitors.

It plays the host: `admits` before signatures are looked at, `receive` only if all of them are genuine. Signing and
opening are handed in, so nothing here knows how that is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from outvote.core.contract import Claim, Message, Struct
from outvote.protocols.generals.general import LETTERS, General, Path, check_battle
from outvote.protocols.generals.oral_messages import OralGeneral, OralMessage
from outvote.protocols.generals.orders import ATTACK, RETREAT, Order
from outvote.protocols.generals.signed_messages import (
    Evidence,
    Signature,
    SignedGeneral,
    SignedOrder,
    commanders_claim,
)
from outvote.protocols.generals.traitors import Making, Situation, Strategy
from outvote.types import SEAL_BYTES, ReplicaId, Seal

Sign: TypeAlias = Callable[[ReplicaId, Struct], Seal]
Opens: TypeAlias = Callable[[Claim], bool]

HEARD: Final = "heard"
KNOWN: Final = "heard before"
FORGED: Final = "refused: a signature is forged"
NEVER_HEARD: Final = "never heard: the battle is over"


class Delay(NamedTuple):
    """What `sender` says to `receiver` in this round comes a round late: the network breaks its promise."""

    round: int
    sender: ReplicaId
    receiver: ReplicaId


class Spoken(NamedTuple):
    """One message and what became of it."""

    round: int  # in which it was sent
    path: Path  # ends with the speaker
    receiver: ReplicaId
    order: Order
    is_lie: bool  # an honest general in the speaker's place would not have said it
    heard_in: int  # the round in which it arrived
    fate: str  # HEARD, or why it was not taken


class Withheld(NamedTuple):
    """What an honest general in a traitor's place would have said, and the traitor did not."""

    round: int
    path: Path
    receiver: ReplicaId


class _Letter(NamedTuple):
    """A message under way."""

    said: Spoken
    message: Message
    seal: Seal


class Plan(NamedTuple):
    """A battle before it is fought."""

    signed: bool
    n: int
    m: int
    order: Order = ATTACK
    commander: ReplicaId = 0
    traitors: tuple[ReplicaId, ...] = ()
    late: tuple[Delay, ...] = ()
    default: Order = RETREAT
    battle: int = 0  # its number: what signatures are good for

    def situation(self) -> Situation:
        return Situation(self.n, self.m, self.commander, self.order, self.traitors)


class Outcome(NamedTuple):
    """A battle that has been fought."""

    plan: Plan
    messages: list[Spoken]
    withheld: list[Withheld]
    decisions: dict[ReplicaId, Order]  # of the loyal, the commander included
    grounds: dict[ReplicaId, list[tuple[Path, Order]]]  # what each loyal lieutenant's decision stands on
    views: dict[ReplicaId, list[tuple[int, ReplicaId, Message]]]  # what each heard: round, speaker, message
    evidence: Evidence | None  # against the commander, from all that some loyal general has heard, refused or not
    signatures: int  # made by loyal generals
    verifications: int  # by loyal generals, none remembered from an earlier message

    @property
    def agreement(self) -> bool:
        """IC1: all loyal lieutenants obey the same order."""
        return len({order for one, order in self.decisions.items() if one != self.plan.commander}) <= 1

    @property
    def validity(self) -> bool | None:
        """IC2: if the commander is loyal, every loyal lieutenant obeys its order. None: the commander is a traitor."""
        if self.plan.commander in self.plan.traitors:
            return None
        return all(order == self.plan.order for order in self.decisions.values())

    @property
    def holds(self) -> bool:
        return self.agreement and self.validity is not False

    def broken_assumptions(self) -> list[str]:
        """What the algorithm relies on and this battle does not give it."""
        n, m, traitors = self.plan.n, self.plan.m, self.plan.traitors
        found = []
        if len(traitors) > m:
            found.append(f"{len(traitors)} traitors, and the algorithm is played for m = {m}")
        if not self.plan.signed and n <= 3 * m:
            found.append(f"{n} generals, and oral messages need 3m + 1 = {3 * m + 1} of them")
        loyal_late = [one for one in self.messages if one.heard_in != one.round and one.path[-1] not in traitors]
        found += [
            f"synchrony: what {LETTERS[one.path[-1]]} said to {LETTERS[one.receiver]} in round {one.round} came in "
            f"round {one.heard_in}"
            for one in loyal_late[:3]
        ]
        return found


def no_signing(signer: ReplicaId, statement: Struct) -> Seal:
    """Oral messages carry none."""
    return b""


def no_opening(claim: Claim) -> bool:
    return True


def fight(plan: Plan, strategy: Making, seed: int = 0, sign: Sign = no_signing, opens: Opens = no_opening) -> Outcome:
    """Play all rounds. Raises Mistake for a plan that makes no sense."""
    check_battle(plan.n, plan.m, oral=not plan.signed)
    return _Battle(plan, strategy(plan.situation(), seed), sign, opens).run()


class _Battle:
    """The state of one that is being fought."""

    def __init__(self, plan: Plan, strategy: Strategy, sign: Sign, opens: Opens) -> None:
        self.plan = plan
        self.strategy = strategy
        self.sign = sign
        self.opens = opens
        self.generals = [_general(plan, me) for me in range(plan.n)]
        self.messages: list[Spoken] = []
        self.withheld: list[Withheld] = []
        self.views: dict[ReplicaId, list[tuple[int, ReplicaId, Message]]] = {one: [] for one in range(plan.n)}
        self.made: dict[tuple[Order, Path], Seal] = {}  # loyal generals' signatures
        self.overheard: dict[tuple[Order, Path], Seal] = {}  # those that some traitor has heard
        self.testimonies: dict[ReplicaId, dict[Order, Seal]] = {}  # the commander's orders that each loyal one can show
        self.verifications = 0

    def run(self) -> Outcome:
        plan = self.plan
        late: list[_Letter] = []
        for general in self.generals:
            general.start(plan.order)
        for round_ in range(1, plan.m + 2):
            letters = self._letters(round_)
            for letter in late + [one for one in letters if not self._is_late(one.said)]:
                fate = self._deliver(round_, letter)
                self.messages.append(letter.said._replace(heard_in=round_, fate=fate))
            late = [one for one in letters if self._is_late(one.said)]
            for general in self.generals:
                general.next_round()
        self.messages += [letter.said._replace(heard_in=plan.m + 2, fate=NEVER_HEARD) for letter in late]
        self.messages.sort(key=lambda said: said.round)
        return self._outcome()

    def _letters(self, round_: int) -> list[_Letter]:
        """All messages of this round, in the order of the generals."""
        letters: list[_Letter] = []
        for me, general in enumerate(self.generals):
            for receiver, message in general.out.messages:
                order, path = _content(message)
                if me not in self.plan.traitors:
                    said = Spoken(round_, path, receiver, order, False, round_, HEARD)
                    letters.append(_Letter(said, message, self._sealed(me, message)))
                    continue
                word = self.strategy.speak(round_, path, receiver, order)
                if word is None:
                    self.withheld.append(Withheld(round_, path, receiver))
                else:
                    letters.append(self._lie(round_, path, receiver, word, word != order))
            general.out.clear()
        for path, receiver, order in self.strategy.whisper(round_):
            # Channels say who speaks, so a traitor whispers in a traitor's name, to somebody else.
            if path[-1] in self.plan.traitors and receiver not in path and max(*path, receiver) < self.plan.n:
                letters.append(self._lie(round_, path, receiver, order, True))
        return letters

    def _sealed(self, me: ReplicaId, message: Message) -> Seal:
        """A general signs once what it says to several."""
        if not message.sealed:
            return b""
        key = _content(message)
        if key not in self.made:
            self.made[key] = self.sign(me, message.statement())
        return self.made[key]

    def _lie(self, round_: int, path: Path, receiver: ReplicaId, order: Order, is_lie: bool) -> _Letter:
        said = Spoken(round_, path, receiver, order, is_lie, round_, HEARD)
        if not self.plan.signed:
            return _Letter(said, OralMessage(path, order), b"")
        seals = [self._traitors_seal(order, path[: length + 1]) for length in range(len(path))]
        return _Letter(said, SignedOrder(self.plan.battle, order, path, tuple(seals[:-1])), seals[-1])

    def _traitors_seal(self, order: Order, path: Path) -> Seal:
        """A traitor's own, whichever it is; a loyal general's if a traitor has heard it; else a forged one."""
        if path[-1] in self.plan.traitors:
            return self.sign(path[-1], Signature(self.plan.battle, order, path))
        return self.overheard.get((order, path), bytes(SEAL_BYTES))

    def _is_late(self, said: Spoken) -> bool:
        return Delay(said.round, said.path[-1], said.receiver) in self.plan.late

    def _deliver(self, round_: int, letter: _Letter) -> str:
        """What a host does with a message: place, then signatures, then the general."""
        (said, message, seal), receiver = letter, letter.said.receiver
        sender, general = said.path[-1], self.generals[receiver]
        self.views[receiver].append((round_, sender, message))
        if receiver in self.plan.traitors:
            self._overhear(message, seal)
        else:
            self._remember(receiver, message, seal)
        why = general.refusal(sender, message)
        if why:
            return f"refused: {why}"
        if not general.admits(sender, message):
            return KNOWN
        if message.sealed:
            claims = [*message.claims(), Claim(sender, message.statement(), seal)]
            if receiver not in self.plan.traitors:
                self.verifications += len(claims)
            if not all(self.opens(claim) for claim in claims):
                return FORGED
        general.receive(sender, message, seal)
        return HEARD

    def _overhear(self, message: Message, seal: Seal) -> None:
        if isinstance(message, SignedOrder):
            seals = (*message.seals, seal)
            for length in range(1, len(message.signers) + 1):
                self.overheard[message.order, message.signers[:length]] = seals[length - 1]

    def _remember(self, receiver: ReplicaId, message: Message, seal: Seal) -> None:
        """Two orders are enough to convict, so no third is looked at."""
        held = self.testimonies.setdefault(receiver, {})
        if not isinstance(message, SignedOrder) or message.order in held or len(held) > 1 or not message.signers:
            return
        claim = commanders_claim(message, seal)
        if claim.signer == self.plan.commander and message.battle == self.plan.battle and self.opens(claim):
            held[message.order] = claim.seal

    def _evidence(self) -> Evidence | None:
        for held in self.testimonies.values():
            if len(held) == 2:
                (first, one), (second, other) = held.items()
                return Evidence(self.plan.battle, self.plan.commander, (first, second), (one, other))
        return None

    def _outcome(self) -> Outcome:
        loyal = self.plan.situation().loyal
        return Outcome(
            plan=self.plan,
            messages=self.messages,
            withheld=self.withheld,
            decisions={one: self.generals[one].decision() for one in loyal},
            grounds={one: self.generals[one].grounds() for one in loyal if one != self.plan.commander},
            views=self.views,
            evidence=self._evidence(),
            signatures=len(self.made),
            verifications=self.verifications,
        )


def _general(plan: Plan, me: ReplicaId) -> General:
    if plan.signed:
        return SignedGeneral(me, plan.n, plan.m, plan.commander, plan.default, plan.battle)
    return OralGeneral(me, plan.n, plan.m, plan.commander, plan.default)


def _content(message: Message) -> tuple[Order, Path]:
    if isinstance(message, SignedOrder):
        return message.order, message.signers
    if isinstance(message, OralMessage):
        return message.order, message.path
    raise TypeError(f"generals do not say {type(message).__name__}")
