"""`outvote generals`: battles with traitors, printed, drawn, measured; keys, files and the terminal are here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from outvote.cli import endings, generals_words
from outvote.cli.drawing import Drawing, drawing_of
from outvote.cli.generals_drawing import chronicle_of
from outvote.core.contract import Claim, Struct
from outvote.crypto.keys import check_public_key, signing_key_from_seed
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.errors import Mistake
from outvote.protocols.generals import search as searching
from outvote.protocols.generals import three_generals
from outvote.protocols.generals.battle import Delay, Outcome, Plan, fight
from outvote.protocols.generals.costs import oral_bound, oral_messages, signed_messages
from outvote.protocols.generals.general import GENERALS_MAX, LETTERS, check_battle
from outvote.protocols.generals.interactive import Council, confer
from outvote.protocols.generals.orders import ATTACK, ORDER_CHARACTERS_MAX
from outvote.protocols.generals.signed_messages import Evidence, Signature
from outvote.protocols.generals.traitors import STRATEGIES, Making, general, table
from outvote.types import DIGEST_BYTES, SEAL_BYTES, ReplicaId, Seal

ALGORITHMS: Final = ("oral", "signed")
FILE_BYTES_MAX: Final = 1 << 20  # of a table or of evidence; 20 000 lines of a table take 400 kB


class Options(NamedTuple):
    """As the command line has them."""

    algorithm: str = "oral"
    n: int = 4
    m: int = 1
    traitors: str = ""
    strategy: str = "split"
    seed: int = 0
    order: str = ATTACK
    commander: str = "0"
    late: Sequence[str] = ()
    interactive: bool = False
    orders: str = ""
    quiet: bool = False
    as_json: bool = False
    diagram: Path | None = None
    evidence: Path | None = None


class Army:
    """Keys for a battle, from its seed: the same battle has the same signatures everywhere."""

    def __init__(self, seed: int) -> None:
        self.campaign = sha256(b"outvote generals %d" % seed).digest()
        self._seal_domain = domain(self.campaign, 0)
        seeds = [sha256(b"outvote general %d %d" % (one, seed)).digest() for one in range(GENERALS_MAX)]
        self.keys = [signing_key_from_seed(one) for one in seeds]
        self._sealers = [Ed25519Sealer(self._seal_domain, key) for key in self.keys]
        self.opener = Ed25519Opener(self._seal_domain, {one: key.public for one, key in enumerate(self.keys)})

    def sign(self, signer: ReplicaId, statement: Struct) -> Seal:
        return self._sealers[signer].seal(statement)

    def opens(self, claim: Claim) -> bool:
        return self.opener.opens(claim)


def run_battle(options: Options) -> int:
    """Returns the exit code: 1 if agreement or validity is violated. Raises Mistake."""
    plan, strategy = _plan(options), _strategy(options.strategy)
    army = Army(options.seed)
    drawing = drawing_of(options.diagram, None, None, ())
    if options.interactive:
        return _run_council(options, plan, strategy, army, drawing)
    outcome = fight(plan, strategy, options.seed, army.sign, army.opens)
    title = f"{_heading(plan, options)}: {generals_words.closing(outcome)}"
    drawn = drawing.write(chronicle_of(outcome, title)) if drawing else ""
    if options.evidence is not None:
        _save_evidence(outcome, army, options.evidence)
    if options.as_json:
        print(json.dumps(_as_json(outcome, options)))
        return endings.DONE if outcome.holds else endings.NEGATIVE
    print(_heading(plan, options))
    if options.quiet:
        print(generals_words.closing(outcome))
    else:
        for line in generals_words.battle_lines(outcome):
            print(line)
    print()
    for line in generals_words.verdict_lines(outcome):
        print(line)
    if drawn:
        print(f"drawn: {options.diagram}: {drawn}")
    if options.evidence is not None and outcome.evidence is not None:
        public = army.keys[plan.commander].public.hex()
        print(f"evidence: outvote generals verify {options.evidence} --key {public}")
    return endings.DONE if outcome.holds else endings.NEGATIVE


def _run_council(options: Options, plan: Plan, strategy: Making, army: Army, drawing: Drawing | None) -> int:
    if drawing is not None or options.evidence is not None:
        raise Mistake("--diagram and --evidence are about one battle: leave out --interactive")
    orders = options.orders.split(",") if options.orders else [options.order] * plan.n
    council = confer(plan, [_order(one) for one in orders], strategy, options.seed, army.sign, army.opens)
    if options.as_json:
        print(json.dumps(_council_as_json(council, options)))
        return endings.DONE if council.holds else endings.NEGATIVE
    print(f"{_heading(plan, options)}; every general commands a battle")
    for battle in council.battles if not options.quiet else ():
        print(f"Battle of {LETTERS[battle.plan.commander]}, who proposes {battle.plan.order}:")
        for line in generals_words.battle_lines(battle):
            print(f"  {line}")
    print()
    for line in generals_words.council_lines(council):
        print(line)
    return endings.DONE if council.holds else endings.NEGATIVE


def _plan(options: Options) -> Plan:
    if options.algorithm not in ALGORITHMS:
        raise Mistake(f"--algorithm {options.algorithm}: choose oral or signed")
    signed = options.algorithm == "signed"
    check_battle(options.n, options.m, oral=not signed)
    traitors = [general(one.strip()) for one in options.traitors.split(",") if one.strip()]
    for one in (*traitors, commander := general(options.commander)):
        if one >= options.n:
            raise Mistake(f"there is no general {one} among {options.n}: they are 0 to {options.n - 1}")
    if len(dict.fromkeys(traitors)) == options.n:
        raise Mistake("all generals are traitors: leave one loyal")
    return Plan(
        signed=signed, n=options.n, m=options.m, order=_order(options.order), commander=commander,
        traitors=tuple(sorted(dict.fromkeys(traitors))), late=tuple(_delay(text, options) for text in options.late),
    )


def _order(text: str) -> str:
    order = text.strip()
    if not 0 < len(order) <= ORDER_CHARACTERS_MAX or not order.isprintable():
        raise Mistake(f"{text[:70]!r} is no order: write attack, retreat or another word of up to 64 characters")
    return order


def _delay(text: str, options: Options) -> Delay:
    """`1:0>2`"""
    round_, _, link = text.partition(":")
    sender, arrow, receiver = link.partition(">")
    if not (round_.isdecimal() and len(round_) < 3 and arrow):
        raise Mistake(f"--late {text}: write ROUND:SENDER>RECEIVER, as 1:0>2")
    delay = Delay(int(round_), general(sender.strip()), general(receiver.strip()))
    if not 1 <= delay.round <= options.m + 1 or max(delay.sender, delay.receiver) >= options.n:
        raise Mistake(f"--late {text}: the battle has rounds 1 to {options.m + 1} and generals 0 to {options.n - 1}")
    return delay


def _strategy(name: str) -> Making:
    """By name, or from a file with a table."""
    making = STRATEGIES.get(name)
    if making is not None:
        return making
    if "." not in name and "/" not in name:
        raise Mistake(f"--strategy {name}: choose {', '.join(STRATEGIES)}, or a file with a table of lies")
    lies = table(_read(Path(name), "--strategy"))
    return lambda situation, seed: lies


def _read(path: Path, option: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "it is no text")
        raise Mistake(f"{option} {path}: the file cannot be read: {why}") from error
    if len(text) > FILE_BYTES_MAX:
        raise Mistake(f"{option} {path}: the file is longer than {FILE_BYTES_MAX} bytes")
    return text


def _heading(plan: Plan, options: Options) -> str:
    kind = "SM" if plan.signed else "OM"
    named = generals_words.names(plan.traitors)
    traitors = f"traitors {named} ({options.strategy})" if plan.traitors else "no traitors"
    return (
        f"{kind}({plan.m}), {plan.n} generals {LETTERS[0]} to {LETTERS[plan.n - 1]}, "
        f"commander {LETTERS[plan.commander]}, {traitors}, seed {options.seed}"
    )


def _as_json(outcome: Outcome, options: Options) -> dict[str, Any]:
    plan = outcome.plan
    return {
        "algorithm": options.algorithm, "n": plan.n, "m": plan.m, "order": plan.order, "commander": plan.commander,
        "traitors": list(plan.traitors), "strategy": options.strategy, "seed": options.seed,
        "messages": [
            {
                "round": one.round, "path": list(one.path), "receiver": one.receiver, "order": one.order,
                "lie": one.is_lie, "heard_in": one.heard_in, "fate": one.fate,
            }
            for one in outcome.messages
        ],
        "withheld": [
            {"round": one.round, "path": list(one.path), "receiver": one.receiver} for one in outcome.withheld
        ],
        "decisions": {str(one): order for one, order in outcome.decisions.items()},
        "agreement": outcome.agreement, "validity": outcome.validity, "holds": outcome.holds,
        "assumptions_broken": outcome.broken_assumptions(),
        "identified": [] if outcome.evidence is None else [outcome.evidence.commander],
        "rounds": plan.m + 1, "sent": len(outcome.messages),
        "formula": signed_messages(plan.n, plan.m) if plan.signed else oral_messages(plan.n, plan.m),
        "bound": None if plan.signed else oral_bound(plan.n, plan.m),
        "signatures": outcome.signatures, "verifications": outcome.verifications,
    }


def _council_as_json(council: Council, options: Options) -> dict[str, Any]:
    return {
        "battles": [_as_json(battle, options) for battle in council.battles],
        "vectors": {str(one): list(vector) for one, vector in council.vectors.items()},
        "decisions": {str(one): order for one, order in council.decisions.items()},
        "consistent": council.consistent, "agreement": council.agreement, "validity": council.validity,
        "holds": council.holds,
    }


# ---------------------------------------------------------------------- evidence


class EvidenceFile(msgspec.Struct, forbid_unknown_fields=True):
    """What a third party is given. It has the commander's public key from elsewhere."""

    campaign: str  # hexadecimal: what the signatures are bound to
    battle: int
    commander: int
    orders: tuple[str, str]
    seals: tuple[str, str]


def _save_evidence(outcome: Outcome, army: Army, path: Path) -> None:
    found = outcome.evidence
    if found is None:
        raise Mistake("--evidence: no loyal general knows of two orders under the commander's signature")
    kept = EvidenceFile(
        army.campaign.hex(), found.battle, found.commander, found.orders, (found.seals[0].hex(), found.seals[1].hex())
    )
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    except OSError as error:
        raise Mistake(f"--evidence {path}: the file cannot be written: {error.strerror}") from error


def verify_evidence(path: Path, key: str) -> int:
    """Exit code 0 if the two orders convict whoever owns the key, 1 if not. Raises Mistake for files that are none."""
    try:
        kept = msgspec.json.decode(_read(path, "evidence"), type=EvidenceFile)
        public = _bytes(key, 32, "--key")
        campaign = _bytes(kept.campaign, DIGEST_BYTES, "campaign")
        first, second = (_bytes(seal, SEAL_BYTES, "seal") for seal in kept.seals)
        proof = Evidence(kept.battle, kept.commander, kept.orders, (first, second))
    except msgspec.MsgspecError as error:
        raise Mistake(f"{path} holds no evidence as --evidence writes it: {error}") from error
    check_public_key(public, "the commander")
    opener = Ed25519Opener(domain(campaign, 0), {proof.commander: public})
    genuine = all(opener.opens(claim) for claim in proof.claims())
    if genuine and proof.excludes_honesty():
        print(f"proven: the owner of this key ordered both {proof.orders[0]} and {proof.orders[1]} in one battle")
        return endings.DONE
    print("not proven: " + ("it is one order twice" if genuine else "this key has not signed both orders"))
    return endings.NEGATIVE


def _bytes(text: str, size: int, what: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != size:
        raise Mistake(f"{what} has to be {2 * size} hexadecimal digits")
    return found


# ---------------------------------------------------------------------- impossibility and search


def show_three_generals(as_json: bool) -> int:
    """Exit code 0: the impossibility stands, as it must."""
    first, second, third = three_generals.cases()
    same = _same_view(first.outcome, second.outcome, three_generals.B)
    mirrored = _same_view(first.outcome, third.outcome, three_generals.C)
    tried = three_generals.enumerate_rules()
    stands = same and mirrored and tried.survivors == 0
    if as_json:
        view = three_generals.view_bytes(first.outcome, three_generals.B).hex()
        print(json.dumps({"view": view, "identical": same, "mirrored": mirrored, **tried._asdict()}))
        return endings.DONE if stands else endings.NEGATIVE
    for case in (first, second):
        print(f"{case.name[0].upper()}{case.name[1:]}:")
        for line in generals_words.battle_lines(case.outcome):
            if line.startswith(("Round", "  ")) and "sees" not in line and "traitor" not in line:
                print(f"  {line}")
        print(f"  B's view, as bytes: {three_generals.view_bytes(case.outcome, three_generals.B).hex(' ', 4)}")
    print(f"B's views are {'byte for byte the same' if same else 'DIFFERENT'}: it must do the same in both cases.")
    print(
        "If it retreats, it disobeys a loyal commander in case 2. If it attacks, then C, who sees the mirror image in "
        "case 1, retreats by the same right (case 3: B is the traitor), and they disagree."
    )
    print(f"Every deterministic rule for B with every one for C: {tried.pairs} pairs, {tried.survivors} hold.")
    for name, count in tried.failures.items():
        print(f"  {count} fail first in {name}")
    return endings.DONE if stands else endings.NEGATIVE


def _same_view(one: Outcome, other: Outcome, lieutenant: ReplicaId) -> bool:
    return three_generals.view_bytes(one, lieutenant) == three_generals.view_bytes(other, lieutenant)


def search_traitors(options: Options, traitors: int, tries: int, save: Path | None) -> int:
    """Exit code 1 if an adversary was found: a violation is a negative answer."""
    plan = _plan(options)
    if not 1 <= traitors < plan.n or not 1 <= tries <= 1_000_000:
        raise Mistake("--count must be 1 to n - 1, and --tries 1 to 1000000")
    army = Army(options.seed)
    found = searching.find(
        plan, traitors, tries, options.seed, lambda outcome: not outcome.agreement, army.sign, army.opens
    )
    if found is None:
        print(f"none of {tries} random adversaries makes loyal lieutenants disagree")
        return endings.DONE
    if save is not None:
        try:
            save.write_text(found.table(), encoding="utf-8")
        except OSError as error:
            raise Mistake(f"--save {save}: the file cannot be written: {error.strerror}") from error
    print(f"adversary {found.tries} makes loyal lieutenants disagree; of its lies these are needed:")
    print(found.table(), end="")
    print(f"traitors {','.join(str(one) for one in found.plan.traitors)}: {generals_words.closing(found.outcome)}")
    return endings.NEGATIVE


# ---------------------------------------------------------------------- what it costs


def show_costs(as_json: bool) -> int:
    """Oral beside signed for 1 to 3 traitors: counted, by the formula and by the bound, and timed on this machine."""
    army = Army(0)
    sign_us, verify_us = signature_costs_us()
    rows: list[dict[str, Any]] = []
    for m in (1, 2, 3):
        for signed, n in ((False, 3 * m + 1), (True, m + 2), (True, 3 * m + 1)):
            plan = Plan(signed=signed, n=n, m=m)
            seconds, outcome = _timed(plan, army)
            rows.append({
                "algorithm": f"{'SM' if signed else 'OM'}({m})", "n": n, "rounds": m + 1,
                "messages": len(outcome.messages),
                "formula": signed_messages(n, m) if signed else oral_messages(n, m),
                "bound": None if signed else oral_bound(n, m),
                "signatures": outcome.signatures, "verifications": outcome.verifications,
                "crypto_us": round(outcome.signatures * sign_us + outcome.verifications * verify_us),
                "all_us": round(seconds * 1e6),
            })
    if as_json:
        print(json.dumps({"sign_us": sign_us, "verify_us": verify_us, "rows": rows}))
        return endings.DONE
    print(f"Ed25519 here: {sign_us:.1f} us to sign, {verify_us:.1f} us to verify. A loyal commander, no traitors.")
    print(f"{'':8}{'n':>4}{'rounds':>8}{'messages':>10}{'formula':>9}{'n^(m+1)':>9}{'signed':>8}{'verified':>10}"
          f"{'crypto us':>11}{'all us':>9}")
    for row in rows:
        bound = "" if row["bound"] is None else row["bound"]
        print(
            f"{row['algorithm']:8}{row['n']:>4}{row['rounds']:>8}{row['messages']:>10}{row['formula']:>9}{bound:>9}"
            f"{row['signatures']:>8}{row['verifications']:>10}{row['crypto_us']:>11}{row['all_us']:>9}"
        )
    print("The formula is exact; n^(m+1) bounds its growth and counts nothing. 'all us': one process plays everybody.")
    return endings.DONE


def signature_costs_us(rounds: int = 9, each: int = 50) -> tuple[float, float]:
    """One Ed25519 signature and one verification here, in microseconds: the median over rounds."""
    army = Army(1)
    opens = Ed25519Opener(domain(army.campaign, 0), {0: army.keys[0].public}, remembered_max=1).opens
    statements = [Signature(number, ATTACK, (0,)) for number in range(4)]
    claims = [Claim(0, statement, army.sign(0, statement)) for statement in statements]
    signing = _median_us(lambda: army.sign(0, statements[0]), rounds, each)
    # Four in turn and two generations of one: none is still remembered when its turn comes.
    turn = cycle(claims)
    verifying = _median_us(lambda: opens(next(turn)), rounds, each)
    return signing, verifying


def _median_us(action: Callable[[], object], rounds: int, each: int) -> float:
    found: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(each):
            action()
        found.append((time.perf_counter() - began) / each * 1e6)
    return median(found)


def _timed(plan: Plan, army: Army) -> tuple[float, Outcome]:
    """The median of three battles."""
    seconds: list[float] = []
    for number in range(3):
        began = time.perf_counter()
        outcome = fight(plan._replace(battle=number), STRATEGIES["obey"], 0, army.sign, army.opens)
        seconds.append(time.perf_counter() - began)
    return median(seconds), outcome
