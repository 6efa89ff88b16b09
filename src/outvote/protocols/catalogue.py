"""Every protocol by name: how to make a core, its tables of messages and records, and what is true of it.

The only module that sees all protocols; hosts, the simulator and the conformance tests know protocols through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from outvote.broadcast.stand_in import Dealer, StandInCoin, StandInEncryption
from outvote.core.committee import Committee, Tolerates
from outvote.core.contract import Claim, Core, Delivery, Message, Record, Struct
from outvote.core.facts import Facts
from outvote.core.occasion import Lie
from outvote.core.patience import Patient
from outvote.errors import Mistake
from outvote.protocols.generals import dispatches as generals_dispatches
from outvote.protocols.generals import facts as generals_facts
from outvote.protocols.generals import insight as generals_insight
from outvote.protocols.generals.service import GeneralsCore
from outvote.protocols.honeybadger import facts as honeybadger_facts
from outvote.protocols.honeybadger import insight as honeybadger_insight
from outvote.protocols.honeybadger import lies as honeybadger_lies
from outvote.protocols.honeybadger import records as honeybadger_records
from outvote.protocols.honeybadger import rounds as honeybadger_rounds
from outvote.protocols.honeybadger.config import HoneyBadgerConfig
from outvote.protocols.honeybadger.foundation import Confirm, Founded, Help
from outvote.protocols.honeybadger.keys import NO_KEYS, Drawn, Given, real_keys
from outvote.protocols.honeybadger.keys import Keys as HoneyBadgerKeys
from outvote.protocols.honeybadger.membership import Era as HoneyBadgerEra
from outvote.protocols.honeybadger.membership import first_roster
from outvote.protocols.honeybadger.messages import MESSAGES as HONEYBADGER_MESSAGES
from outvote.protocols.honeybadger.replica import OPERATIONS as HONEYBADGER_OPERATIONS
from outvote.protocols.honeybadger.replica import HoneyBadgerReplica
from outvote.protocols.honeybadger.shares import StandInShares
from outvote.protocols.pbft import facts as pbft_facts
from outvote.protocols.pbft import insight as pbft_insight
from outvote.protocols.pbft import records as pbft_records
from outvote.protocols.pbft import rounds as pbft_rounds
from outvote.protocols.pbft.authenticators import insight as unsigned_insight
from outvote.protocols.pbft.authenticators import messages as unsigned_messages
from outvote.protocols.pbft.authenticators import records as unsigned_records
from outvote.protocols.pbft.authenticators.form import AUTHENTICATORS
from outvote.protocols.pbft.authenticators.lies import other_words as unsigned_lies
from outvote.protocols.pbft.authenticators.lies.catalogue import LIES as UNSIGNED_LIES
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.form import Form
from outvote.protocols.pbft.lies import other_words as pbft_lies
from outvote.protocols.pbft.lies.catalogue import LIES as PBFT_LIES
from outvote.protocols.pbft.messages import MESSAGES as PBFT_MESSAGES
from outvote.protocols.pbft.replica import PbftReplica
from outvote.protocols.pbft.signatures import SIGNATURES
from outvote.protocols.raft import facts as raft_facts
from outvote.protocols.raft import insight as raft_insight
from outvote.protocols.raft import records as raft_records
from outvote.protocols.raft.config import FLAGS as RAFT_FLAGS
from outvote.protocols.raft.config import RaftConfig
from outvote.protocols.raft.messages import MESSAGES as RAFT_MESSAGES
from outvote.protocols.raft.replica import OPERATIONS as RAFT_OPERATIONS
from outvote.protocols.raft.replica import RaftReplica
from outvote.types import MILLISECOND, Digest, Nanos, Position, ReplicaId, Size, View

EraOfMembers: TypeAlias = HoneyBadgerEra  # number, first epoch, members, public keys
Certificate = tuple[list[Claim], int]  # the claims it consists of, and how many different signers it needs


class LogInsight(NamedTuple):
    """The same of a protocol with one log that an elected leader writes; entries are told by their term and content."""

    writes: Callable[[Record], tuple[Position, tuple[tuple[int, Digest], ...]] | None]  # behind where, and what
    begins: Callable[[Record], tuple[Position, int] | None]  # where the log begins from now on, and the term there
    identifies: Callable[[Record], tuple[Position, tuple[int, ...]] | None]  # from where on, and terms up to the end
    repairs: Callable[[Record], tuple[Position, tuple[int, Digest]] | None]  # what a damaged entry was
    leads: Callable[[Core], int | None]  # the term that a core leads
    log_of: Callable[[Core], tuple[Position, list[tuple[int, Digest]]]]  # where it begins, and what it holds behind
    majority: Callable[[Core, set[ReplicaId]], bool]  # whether so many logs are enough for it to commit
    keeps_data: Callable[[Mapping[str, int], ReplicaId], bool]  # with these parameters; a witness notes terms alone


class SecretInsight(NamedTuple):
    """The same of a protocol whose proposals nobody can read before they are ordered; places are epochs."""

    decides: Callable[[Struct], tuple[Position, ReplicaId, bool] | None]  # whose is in, says who says it
    opens: Callable[[Struct], tuple[Position, ReplicaId] | None]  # whose proposal this helps to open


class MembersInsight(NamedTuple):
    """The same of a protocol whose members change; places are epochs."""

    eras: Callable[[Core], Sequence[EraOfMembers]]  # that a core knows of, oldest first
    wished: Callable[[Record], tuple[int, tuple[ReplicaId, ...]] | None]  # in which era, and whom its owner wants


class Insight(NamedTuple):
    """What the simulator's checkers may know of a protocol's inside; nothing else looks at it."""

    entitles: Callable[[Record, ReplicaId, Committee], Struct | None]  # what the writer of a durable record may say
    remembers: Callable[[Core, Struct], bool]  # whether a core is bound by what its replica said before
    final_vote: Callable[[Struct], tuple[Position, Digest, View] | None]  # a quorum of which decides
    content: Callable[[Delivery], Digest]  # what final votes call a delivery
    state_vote: Callable[[Struct], tuple[Position, Digest] | None]  # a quorum of which certifies a whole state
    state_vouchers: Callable[[Committee], tuple[int, int]]  # of a state that is kept: in all, and honest ones
    relies_on: Callable[[Core], list[Record]]  # what a core acts on just now, recorded or not
    sizes: Callable[[Core], Iterable[Size]]  # what others can make grow inside a core
    patience_ns: Callable[[Mapping[str, int]], Nanos]  # the longest a view may last in which nothing happens
    timeout_ns: Callable[[Core], Nanos]  # how long a core waits just now before it gives a view up
    fruitless_views_max: Callable[[Mapping[str, int], Committee], int]  # in a row, once only f replicas disturb
    votes: bool = True  # a quorum's final votes decide; else nothing is counted, and agreement alone is looked at
    secrets: SecretInsight | None = None  # then proposals are encrypted
    members: MembersInsight | None = None  # then not all replicas take part for ever
    log: LogInsight | None = None  # then no final votes decide, but what is durable in a majority of logs


class Protocol(NamedTuple):
    """One entry of the catalogue."""

    name: str
    byzantine: bool  # tolerates lies, not only crashes
    seals: bool  # whether replicas sign what they promise; if not, the channel's word about a sender is all there is
    messages: tuple[type[Message], ...]
    records: tuple[type[Record], ...]
    make: Callable[[ReplicaId, Committee, Mapping[str, int]], Core]  # parameters of the genesis, by name
    certificates: Callable[[Record, Committee], list[Certificate]]  # what a record relies on
    variant: Callable[[Message, int], Message | None]  # what a liar could say instead, for the adversaries
    agreement: Callable[[Message], tuple[Message, ...]]  # votes of one who agrees with whatever it hears
    lies: Mapping[str, Lie]  # by name: what could be said instead in this protocol's own words
    ordering: tuple[str, ...]  # the message types that the paper's formula counts
    formula: Callable[[int], int]  # of n: messages of those types in one decision without faults
    marks: Callable[[Record], tuple[str, ...]]  # what a record is a sign of, for the simulator's coverage
    round_of: Callable[[Message], int | None]  # view * phases + phase; None for what belongs to no view
    phases: int  # of one view
    ordering_phase: int  # the first in which a view orders requests
    insight: Insight
    expected_marks: tuple[str, ...]  # all of them: a batch of runs that misses one has tested too little
    operations: tuple[str, ...] = ()  # what an operator may ask of a core: `Core.operate` says what each is
    owners: bool = False  # an order is its replica's owner's alone: sealed with that replica's key, and told to it
    flags: tuple[str, ...] = ()  # parameters that only this protocol has
    facts: Facts | None = None  # for docs/protocols.md, whose test demands them
    deals: bool = False  # a dealer draws keys of threshold cryptography, in simulated clusters from the run's seed
    # How a real cluster's replica is made of the keys that it was given, where `deals` says that there are some.
    make_with: Callable[[ReplicaId, Committee, Mapping[str, int], Given], Core] | None = None
    lacks: tuple[str, ...] = ()  # of the genesis's parameters that are on or off: what this protocol does not do
    led: bool = True  # in views, which can be cut short; the epochs of one without a leader end when they end
    swarm_sizes: tuple[int, ...] = ()  # that the swarm draws from, where its usual ones take too many messages

    @property
    def tolerates(self) -> Tolerates:
        """What clients have to know."""
        return "lies" if self.byzantine else "crashes"


def _in_nanoseconds(parameters: Mapping[str, int]) -> dict[str, Any]:
    """Times are given in milliseconds there and kept in nanoseconds here."""
    return {
        name.removesuffix("_ms") + "_ns" if name.endswith("_ms") else name:
            value * MILLISECOND if name.endswith("_ms") else value
        for name, value in parameters.items()
    }


def _make_pbft(
    me: ReplicaId, committee: Committee, parameters: Mapping[str, int], form: Form = SIGNATURES
) -> PbftReplica:
    fields = _in_nanoseconds(parameters)
    if "tentative" in fields:
        fields["tentative"] = bool(fields["tentative"])  # 0 and 1 in a plan
    try:
        config = PbftConfig(**fields)
    except TypeError as error:
        raise Mistake(f"parameters: {error}") from error
    return PbftReplica(me, committee, config.fitted(committee.n), form)


PBFT: Final = Protocol(
    name="pbft",
    byzantine=True,
    seals=True,
    messages=PBFT_MESSAGES,
    records=pbft_records.RECORDS,
    make=_make_pbft,
    certificates=pbft_records.certificates,
    variant=pbft_lies.variant,
    agreement=pbft_lies.agreement,
    lies=PBFT_LIES,
    ordering=("PrePrepare", "Prepare", "Commit"),
    formula=lambda n: 2 * n * (n - 1),
    marks=pbft_records.marks,
    round_of=pbft_rounds.round_of,
    phases=pbft_rounds.PHASES,
    ordering_phase=pbft_rounds.ORDERING_PHASE,
    insight=Insight(
        entitles=pbft_insight.entitles,
        remembers=pbft_insight.remembers,
        final_vote=pbft_insight.final_vote,
        content=pbft_insight.content,
        state_vote=pbft_insight.state_vote,
        state_vouchers=pbft_insight.state_vouchers,
        relies_on=pbft_insight.relies_on,
        sizes=pbft_insight.sizes,
        patience_ns=pbft_insight.patience_ns,
        timeout_ns=pbft_insight.timeout_ns,
        fruitless_views_max=pbft_insight.fruitless_views_max,
    ),
    expected_marks=pbft_records.MARKS,
    facts=pbft_facts.SIGNED,
)

PBFT_AUTHENTICATORS: Final = PBFT._replace(
    name="pbft-authenticators",
    seals=False,
    messages=unsigned_messages.MESSAGES,
    records=unsigned_records.RECORDS,
    make=partial(_make_pbft, form=AUTHENTICATORS),
    certificates=unsigned_records.certificates,
    variant=unsigned_lies.variant,
    lies=UNSIGNED_LIES,
    marks=unsigned_records.marks,
    insight=PBFT.insight._replace(
        entitles=unsigned_insight.entitles,
        remembers=unsigned_insight.remembers,
        state_vouchers=unsigned_insight.state_vouchers,
        relies_on=unsigned_insight.relies_on,
        sizes=unsigned_insight.sizes,
    ),
    facts=pbft_facts.AUTHENTICATED,
)


def _make_raft(me: ReplicaId, committee: Committee, parameters: Mapping[str, int]) -> RaftReplica:
    """What only protocols against lies have is passed over: a genesis has one set of parameters for all."""
    known = RaftConfig.__struct_fields__
    fields = _in_nanoseconds(parameters)
    strange = sorted(name for name in fields if name not in (*known, "tentative", "time_tolerance_ns"))
    if strange:
        raise Mistake(f"parameters: raft has no {', '.join(strange)}")
    return RaftReplica(me, committee, RaftConfig(**{name: fields[name] for name in known if name in fields}))


RAFT: Final = Protocol(
    name="raft",
    byzantine=False,
    seals=False,
    messages=RAFT_MESSAGES,
    records=raft_records.RECORDS,
    make=_make_raft,
    certificates=lambda _record, _committee: [],
    variant=lambda _message, _salt: None,
    agreement=lambda _message: (),
    lies={},
    ordering=("AppendEntries", "Appended"),
    formula=lambda n: 2 * (n - 1),
    marks=raft_records.marks,
    round_of=lambda message: getattr(message, "term", None),
    phases=1,
    ordering_phase=0,
    insight=Insight(
        entitles=raft_insight.entitles,
        remembers=raft_insight.remembers,
        final_vote=raft_insight.final_vote,
        content=raft_insight.content,
        state_vote=raft_insight.state_vote,
        state_vouchers=raft_insight.state_vouchers,
        relies_on=raft_insight.relies_on,
        sizes=raft_insight.sizes,
        patience_ns=raft_insight.patience_ns,
        timeout_ns=raft_insight.timeout_ns,
        fruitless_views_max=raft_insight.fruitless_views_max,
        log=LogInsight(
            writes=raft_insight.writes,
            begins=raft_insight.begins,
            identifies=raft_insight.identifies,
            repairs=raft_insight.repairs,
            leads=raft_insight.leads,
            log_of=raft_insight.log_of,
            majority=raft_insight.majority,
            keeps_data=raft_insight.keeps_data,
        ),
    ),
    expected_marks=raft_records.DEMANDED,
    operations=RAFT_OPERATIONS,
    flags=(*RAFT_FLAGS, "lease_drift_ppm", "learners", "witnesses"),
    facts=raft_facts.RAFT,
)


def _make_generals(
    me: ReplicaId, committee: Committee, parameters: Mapping[str, int], signed: bool
) -> GeneralsCore:
    return GeneralsCore(me, committee, generals_insight.configured(parameters), signed)


GENERALS_SIGNED: Final = Protocol(
    name="generals-signed",
    byzantine=True,
    seals=True,
    messages=generals_dispatches.MESSAGES_SIGNED,
    records=generals_dispatches.RECORDS,
    make=partial(_make_generals, signed=True),
    certificates=lambda record, committee: [],
    variant=generals_insight.variant,
    agreement=lambda message: (),
    lies={},
    ordering=("SignedDispatch",),
    formula=lambda n: (n - 1) * (n - 1),
    marks=lambda record: (),
    round_of=lambda message: None,
    phases=1,
    ordering_phase=0,
    insight=Insight(
        entitles=generals_insight.entitles,
        remembers=generals_insight.remembers,
        final_vote=generals_insight.no_vote,
        content=generals_insight.content,
        state_vote=generals_insight.no_state_vote,
        state_vouchers=generals_insight.state_vouchers,
        relies_on=generals_insight.relies_on,
        sizes=generals_insight.sizes,
        patience_ns=generals_insight.patience_ns,
        timeout_ns=generals_insight.timeout_ns,
        fruitless_views_max=generals_insight.fruitless_views_max,
    ),
    expected_marks=(),
    facts=generals_facts.SIGNED,
)

GENERALS_ORAL: Final = GENERALS_SIGNED._replace(
    name="generals-oral",
    seals=False,
    messages=generals_dispatches.MESSAGES_ORAL,
    make=partial(_make_generals, signed=False),
    ordering=("OralDispatch",),
    formula=generals_facts.ORAL.messages.of,
    facts=generals_facts.ORAL,
)

# They break when a message is late, and nobody who was away comes back: no genesis and no campaign names them.
SYNCHRONOUS: Final[Mapping[str, Protocol]] = {one.name: one for one in (GENERALS_SIGNED, GENERALS_ORAL)}


def _make_honeybadger(me: ReplicaId, committee: Committee, parameters: Mapping[str, int]) -> Patient:
    """With keys dealt from a seed, for simulated clusters: stand-ins, or with `real_threshold` those of BLS12-381."""
    seed = parameters.get("dealer_seed", 0)
    keys = _keys_of_a_seed if parameters.get("real_threshold") else _stand_in_keys
    members = first_roster(committee.n, parameters.get("learners", 0)).era.members
    given = keys(me, committee.n, members, seed)._replace(deferred=bool(parameters.get("deferred")))
    return _honeybadger(me, committee, parameters, given)


def _make_honeybadger_with(
    me: ReplicaId, committee: Committee, parameters: Mapping[str, int], given: Given
) -> Patient:
    return _honeybadger(me, committee, parameters, real_keys(me, committee, given))


def _honeybadger(
    me: ReplicaId, committee: Committee, parameters: Mapping[str, int], keys: HoneyBadgerKeys
) -> Patient:
    config, interval_ns = _honeybadger_config(parameters)
    return Patient(HoneyBadgerReplica(me, committee, config, keys), interval_ns, 10 * interval_ns)


def _honeybadger_config(parameters: Mapping[str, int]) -> tuple[HoneyBadgerConfig, Nanos]:
    """Of parameters that belong to protocols with a leader or a clock, only how often to ask is taken."""
    names = HoneyBadgerConfig.__struct_fields__
    config = HoneyBadgerConfig(**{name: parameters[name] for name in names if name in parameters})
    return config, parameters.get("status_interval_ms", 200) * MILLISECOND


def _stand_in_keys(me: ReplicaId, n: int, members: tuple[ReplicaId, ...], seed: int) -> HoneyBadgerKeys:
    shares = StandInShares(me, members, seed)
    if me not in members:
        return HoneyBadgerKeys(*NO_KEYS, Drawn(seed, me), b"simulated cluster", shares=shares)
    dealer, place = Dealer(Committee(len(members)), seed), members.index(me)
    coin, encryption = StandInCoin(dealer, place), StandInEncryption(dealer, place)
    return HoneyBadgerKeys(coin, encryption, Drawn(seed, me), b"simulated cluster", shares=shares)


def _keys_of_a_seed(me: ReplicaId, n: int, members: tuple[ReplicaId, ...], seed: int) -> HoneyBadgerKeys:
    """Raises Mistake where their library is not installed."""
    from outvote.crypto import threshold  # noqa: PLC0415 - an extra, and heavy
    from outvote.crypto.dealings import register  # noqa: PLC0415 - the same
    from outvote.protocols.honeybadger.dealt_anew import DealtAnew  # noqa: PLC0415 - the same

    committee = Committee(len(members))
    public, dealt = threshold.deal(committee.n, committee.weak, seed.to_bytes(threshold.SECRET_BYTES, "big"))
    share = dealt[members.index(me)] if me in members else b""
    secrets = [Drawn(seed, one).draw(0, b"secret") for one in range(n)]
    shares = DealtAnew(me, lambda: tuple(map(register, secrets)), secrets[me], lambda: (public, share))
    if me not in members:
        return HoneyBadgerKeys(*NO_KEYS, Drawn(seed, me), b"simulated cluster", shares=shares)
    given = Given(b"simulated cluster", public.key, public.verification, share)
    return real_keys(members.index(me), committee, given)._replace(entropy=Drawn(seed, me), shares=shares)


HONEYBADGER: Final = Protocol(
    name="honeybadger",
    byzantine=True,
    seals=True,
    messages=HONEYBADGER_MESSAGES,
    records=honeybadger_records.RECORDS,
    make=_make_honeybadger,
    certificates=honeybadger_records.certificates,
    variant=honeybadger_lies.variant,
    agreement=lambda _message: (),
    lies=honeybadger_lies.LIES,
    ordering=("Broadcasting",),  # how many agreements take is the coin's to say
    formula=lambda n: n * (n - 1) * (2 * n + 1),
    marks=honeybadger_records.marks,
    round_of=honeybadger_rounds.round_of,
    phases=honeybadger_rounds.PHASES,
    ordering_phase=0,
    led=False,
    insight=Insight(
        entitles=honeybadger_insight.entitles,
        remembers=honeybadger_insight.remembers,
        final_vote=honeybadger_insight.final_vote,
        content=honeybadger_insight.content,
        state_vote=honeybadger_insight.state_vote,
        state_vouchers=honeybadger_insight.state_vouchers,
        relies_on=honeybadger_insight.relies_on,
        sizes=honeybadger_insight.sizes,
        patience_ns=honeybadger_insight.patience_ns,
        timeout_ns=honeybadger_insight.timeout_ns,
        fruitless_views_max=honeybadger_insight.fruitless_views_max,
        votes=False,
        secrets=SecretInsight(honeybadger_insight.decides, honeybadger_insight.opens),
        members=MembersInsight(honeybadger_insight.eras, honeybadger_insight.wished),
    ),
    expected_marks=(*honeybadger_records.MARKS, "changes of members"),
    operations=HONEYBADGER_OPERATIONS,
    owners=True,
    deals=True,
    make_with=_make_honeybadger_with,
    lacks=("tentative", "reads"),
    facts=honeybadger_facts.HONEYBADGER,
    swarm_sizes=(*(4,) * 17, 5, 5, 7),
)

PROTOCOLS: Final[Mapping[str, Protocol]] = {
    one.name: one for one in (PBFT, PBFT_AUTHENTICATORS, RAFT, HONEYBADGER)
}



def _make_founding_with(
    me: ReplicaId, committee: Committee, parameters: Mapping[str, int], given: Given
) -> Patient:
    """Raises Mistake where the library for threshold keys is not installed."""
    from outvote.protocols.honeybadger.founding import FoundingReplica  # noqa: PLC0415 - an extra, and heavy

    config, interval_ns = _honeybadger_config(parameters)
    deferred = bool(parameters.get("deferred", True))
    return Patient(FoundingReplica(me, committee, config, given, deferred), interval_ns, 10 * interval_ns)


def _make_founding(me: ReplicaId, committee: Committee, parameters: Mapping[str, int]) -> Patient:
    """With secrets from a seed, for simulated clusters."""
    from outvote.crypto.dealings import register  # noqa: PLC0415 - an extra, and heavy

    seed = parameters.get("dealer_seed", 0)
    secrets = [Drawn(seed, one).draw(0, b"secret") for one in range(committee.n)]
    registrations = tuple(register(secret) for secret in secrets)
    given = Given(b"simulated cluster", b"", (), secrets[me], registrations)
    return _make_founding_with(me, committee, parameters, given)


# The same where nobody deals keys: the replicas make them together before the first epoch.
HONEYBADGER_FOUNDING: Final = HONEYBADGER._replace(
    messages=(*HONEYBADGER_MESSAGES, Confirm, Founded, Help),
    records=honeybadger_records.RECORDS_WHILE_FOUNDING,
    make=_make_founding,
    make_with=_make_founding_with,
    certificates=honeybadger_records.certificates_while_founding,
    insight=HONEYBADGER.insight._replace(sizes=honeybadger_insight.sizes_while_founding),
)
FOUNDING: Final[Mapping[str, Protocol]] = {"honeybadger": HONEYBADGER_FOUNDING}

# Also of algorithms that replicate nothing: the generals agree on one order.
FACTS: Final[Mapping[str, Facts]] = {
    **{name: one.facts for name, one in PROTOCOLS.items() if one.facts is not None},
    "OM(m)": generals_facts.ORAL,
    "SM(m)": generals_facts.SIGNED,
}


def protocol(name: str) -> Protocol:
    """Raises Mistake if there is none of this name."""
    found = PROTOCOLS.get(name)
    if found is None:
        raise Mistake(f"there is no protocol {name!r}: choose one of {', '.join(sorted(PROTOCOLS))}")
    return found


def founding_variant(name: str) -> Protocol:
    """The same protocol where its replicas make threshold keys first. Raises Mistake if it has none."""
    if name not in FOUNDING:
        raise Mistake(f"{protocol(name).name} has no threshold keys: make the cluster anew with outvote init")
    return FOUNDING[name]
