"""A replica whose cluster begins without threshold keys: the replicas make them, and HoneyBadger begins.

Before: only words of the key generation are admitted (epochs -1 and 0); requests wait in the pool. What was said is
recorded first, kept, and said again to who asks, as in HoneyBadger's epochs.

1. Deal, agree on dealings and on verdicts: broadcast/key_generation.py.
2. Agreed: record what was agreed on. Open the rows; with a share, CONFIRM(digest, proof that the share is possessed).
   Without one (a liar was believed, since our accusation came too late): LACKING(-1), and f + 1 values of HELP that fit
   give the row.
3. n - f CONFIRMs of one digest, and a share: record the whole transcript. The cluster is founded.

After: LACKING(-2) and LACKING(-1) are answered with the transcript, which a laggard believes for its n - f seals: one
honest replica has confirmed, so the transcript is what was agreed on. All secrets follow from the replica's one secret
and the transcript; nothing else that is secret is ever stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from outvote.broadcast.asynchronous_subset import BROADCASTING
from outvote.broadcast.key_generation import STAGES, Agreed, KeyGeneration, Said
from outvote.core.committee import Committee
from outvote.core.contract import ALL, Message, Record, Standing
from outvote.crypto.dealings import Ceremony, dealing_bytes_max, value_for, verdict_bytes_max
from outvote.crypto.threshold import Keys as ThresholdKeys
from outvote.crypto.threshold import Public, ThresholdCoin, ThresholdEncryption, possesses
from outvote.errors import Lie
from outvote.protocols.honeybadger import records
from outvote.protocols.honeybadger.config import HoneyBadgerConfig
from outvote.protocols.honeybadger.dealt_anew import DealtAnew
from outvote.protocols.honeybadger.foundation import (
    Confirm,
    Foundation,
    Founded,
    Help,
    Outcome,
    Transcript,
    ceremony_of,
    possession_name,
    sealed_enough,
    understood,
)
from outvote.protocols.honeybadger.keys import Derived, Given, Keys
from outvote.protocols.honeybadger.messages import Agreeing, Broadcasting, Lacking, Working
from outvote.protocols.honeybadger.replica import HoneyBadgerReplica
from outvote.types import Digest, Position, ReplicaId, Seal, Size

WITHOUT_KEYS: Position = -2  # as LACKING tells it
WITHOUT_SHARE: Position = -1
FIRST_EPOCH: Position = -1  # of the two stages; no batch has it
_HELP_BYTES_MAX = 48 + 32 + 16


class Mine:
    """This replica's access to the ceremony, as `broadcast/key_generation.py` wants it."""

    def __init__(self, ceremony: Ceremony, me: ReplicaId, secret: bytes) -> None:
        self.ceremony = ceremony
        self.me = me
        self.secret = secret

    def deal(self) -> bytes:
        return self.ceremony.deal(self.me, self.secret)

    def verdict(self, dealings: Mapping[ReplicaId, bytes]) -> bytes:
        return self.ceremony.verdict(dealings, self.me, self.secret)


class FoundingReplica(HoneyBadgerReplica):
    """`transcript` is complete once the cluster is founded."""

    def __init__(
        self, me: ReplicaId, committee: Committee, config: HoneyBadgerConfig, given: Given, deferred: bool
    ) -> None:
        self._mine = Mine(ceremony_of(given.cluster, committee, given.registrations), me, given.secret)
        self._late = Late()
        shares = DealtAnew(me, lambda: given.registrations, given.secret, self._first)
        keys = Keys(
            LateCoin(self._late), LateEncryption(self._late), Derived(given.secret), given.cluster, deferred, shares
        )
        super().__init__(me, committee, config, keys)
        terms = self._mine.ceremony.terms
        sizes = dealing_bytes_max(terms.threshold, committee.n), verdict_bytes_max(committee.n)
        self.generation = KeyGeneration(me, committee, self._mine, terms.name, sizes)
        self.founded = False
        self.transcript: Transcript | None = None  # agreed on
        self._outcome: Outcome | None = None
        self._digest: Digest = b""
        self._row: list[Any] = []
        self._share = b""
        self._said: list[Said] = []
        self._confirms: dict[ReplicaId, tuple[Confirm, Seal]] = {}  # the first one a sender, looked at or not
        self._right: dict[ReplicaId, None] = {}  # of those, whose proof is right
        self._looked: dict[ReplicaId, None] = {}
        self._values: dict[ReplicaId, Any] = {}  # of our row, those that fit
        self._heard_help: dict[ReplicaId, None] = {}  # since we asked: looking at one costs milliseconds
        self._confirmed = False

    # ------------------------------------------------------------------ calls in

    def restore(self, position: Position, digest: Digest, records_: Sequence[Record]) -> None:
        for record in records_:
            if isinstance(record, Foundation):
                self._agree(record.transcript)
            elif isinstance(record, records.Said) and isinstance(record.message, Broadcasting | Agreeing):
                self._bind(record.receiver, record.message)
        if self.transcript is not None and sealed_enough(self.transcript, self.state.committee):
            self._found(self.transcript)
        super().restore(position, digest, records_)
        if not self.founded:
            self.state.out.messages += [(one.receiver, addressed(one)) for one in self._said]
            if self.transcript is None:
                self._say(self.generation.begin())
            self._proceed()

    def _bind(self, receiver: ReplicaId, message: Broadcasting | Agreeing) -> None:
        stage = message.epoch - FIRST_EPOCH
        if stage in STAGES and not self.founded:
            said = Said(receiver, stage, message.proposer, message.body)
            if said not in self._said:
                self._said.append(said)
                self.generation.bind(stage, message.proposer, message.body)

    def summary(self) -> list[Record]:
        assert self.transcript is not None, "a checkpoint of a cluster that is not founded"
        return [Foundation(self.transcript), *super().summary()]

    def admits(self, sender: ReplicaId, message: Message) -> bool:
        if isinstance(message, Lacking):
            return self.founded or message.delivered < 0
        if isinstance(message, Confirm):
            return not self.founded and sender not in self._confirms
        if isinstance(message, Founded):
            return not self.founded and sealed_enough(message.transcript, self.state.committee)
        if isinstance(message, Help):
            return self._lacks_share() and len(message.box) <= _HELP_BYTES_MAX and sender not in self._heard_help
        if self.founded:
            return super().admits(sender, message)
        return (
            isinstance(message, Broadcasting | Agreeing)
            and message.epoch - FIRST_EPOCH in STAGES
            and self.state.committee.holds(message.proposer)
        )

    def receive(self, sender: ReplicaId, message: Message, seal: Seal) -> None:
        if not self.admits(sender, message):
            return
        if isinstance(message, Lacking) and message.delivered < 0:
            self._on_lacking(sender, message)
        elif isinstance(message, Confirm | Founded | Help) or not self.founded:
            self.state.heard += 1
            if isinstance(message, Confirm):
                self._confirms[sender] = message, seal
            elif isinstance(message, Founded):
                self._on_founded(sender, message.transcript)
            elif isinstance(message, Help):
                self._on_help(sender, message)
            elif isinstance(message, Broadcasting | Agreeing):
                stage = message.epoch - FIRST_EPOCH
                self._say(self.generation.receive(sender, stage, message.proposer, message.body))
            self._proceed()
        else:
            super().receive(sender, message, seal)

    def unfinished(self) -> bool:
        return not self.founded or super().unfinished()

    def ask(self) -> None:
        if self.founded:
            super().ask()
        else:
            self._heard_help.clear()
            self.state.out.hints.append((ALL, Lacking(WITHOUT_SHARE if self._lacks_share() else WITHOUT_KEYS, 0)))

    def standing(self) -> Standing:
        standing = super().standing()
        if self.founded:
            return standing
        if self._outcome is not None:
            missing = ", our share is missing" * self._lacks_share()
            note = f"threshold keys: confirmed by {sorted(self._right)}{missing}"
        elif self.transcript is not None:
            note = "no threshold keys: more replicas lie than the cluster bears"
        else:
            note = f"making threshold keys: dealings of {sorted(self.generation.delivered())}"
        return msgspec.structs.replace(standing, active=False, note=note)

    def founding_sizes(self) -> Iterator[Size]:
        """What others can make grow here, with its limit."""
        yield "words of the key generation", len(self._said), self.generation.words_max()
        yield "confirmations of keys", len(self._confirms), self.state.committee.n
        yield "values of our row", len(self._values), self.state.committee.n

    # ------------------------------------------------------------------ the way there

    def _settle(self) -> None:
        if self.founded:
            super()._settle()
            if self.state.members.era.number and self._share:  # the first share has served its time: it is forgotten
                self._share, self._row, self._late.keys = b"", [], None

    def _lacks_share(self) -> bool:
        return not self.founded and self._outcome is not None and not self._share

    def _first(self) -> tuple[Public, bytes]:
        """The keys of the first era, for those who hand them over."""
        assert self._outcome is not None, "no members change before the cluster is founded"
        return self._outcome.combined.public, self._share

    def _say(self, said: Sequence[Said]) -> None:
        out = self.state.out
        fresh = [one for one in said if one not in self._said]
        for one in fresh:
            out.records.append(records.Said(one.receiver, addressed(one)))
            out.messages.append((one.receiver, addressed(one)))
        self._said += fresh
        out.lies += self.generation.faults
        self.generation.faults.clear()

    def _proceed(self) -> None:
        if self.founded:
            return
        agreed = self.generation.agreed
        if self.transcript is None and agreed is not None:
            transcript = transcript_of(agreed)
            self.state.out.records.append(Foundation(transcript))
            self._agree(transcript)
            self._accuse(agreed)
        if self._outcome is None or self.transcript is None or not self._share:
            return
        if not self._confirmed:
            self._confirmed = True
            coin = ThresholdCoin(ThresholdKeys(self._outcome.combined.public, self.me, self._share))
            possession = coin.share(possession_name(self._digest))
            self.state.out.messages.append((ALL, Confirm(self._digest, possession)))
        self._count()
        needed = self.state.committee.n - self.state.committee.faults
        if len(self._right) >= needed:
            signers = sorted(self._right)[:needed]
            held = [(one, *self._confirms[one]) for one in signers]
            complete = Transcript(
                self.transcript.dealings, self.transcript.verdicts,
                tuple((one, confirm.possession) for one, confirm, _ in held),
                tuple((one, seal) for one, _, seal in held),
            )  # fmt: skip
            self.state.out.records.append(Foundation(complete))
            self._found(complete)
            self._settle()

    def _agree(self, transcript: Transcript) -> None:
        """What it comes to, and our share of it."""
        digest = transcript.digest()
        if digest == self._digest:
            self.transcript = transcript
            return
        self.transcript, self._digest = transcript, digest
        try:
            self._outcome = understood(self._mine.ceremony, transcript)
        except Lie:
            return  # more than f of us lie: there are no keys, and no promise was made that there would be
        self._row = self._outcome.combined.row(self.me, self._mine.secret) or []
        self._share = bytes(self._row[0].to_be_bytes()) if self._row else b""

    def _accuse(self, agreed: Agreed) -> None:
        if self._outcome is not None:
            guilty = [one for one in agreed.dealings if one not in self._outcome.qualified]
            self.state.out.lies += [(one, "a dealing that is not right") for one in guilty]

    def _count(self) -> None:
        """Look at confirmations that have not been looked at. A pairing each, n of them at most."""
        assert self._outcome is not None
        name = possession_name(self._digest)
        public = self._outcome.combined.public
        for sender, (confirm, _) in self._confirms.items():
            if sender in self._looked:
                continue
            self._looked[sender] = None
            if confirm.digest == self._digest and possesses(public, sender, name, confirm.possession):
                self._right[sender] = None
            else:
                self.state.out.lies.append((sender, "a confirmation of other keys"))

    def _found(self, transcript: Transcript) -> None:
        if self._outcome is None or not self._share:
            return
        self.transcript = transcript
        self.founded = True
        self._late.keys = ThresholdKeys(self._outcome.combined.public, self.me, self._share)
        self.state.heard += 1
        self._confirms.clear()
        self._values.clear()
        self._said.clear()  # whoever lacks keys is told what came of it

    # ------------------------------------------------------------------ laggards

    def _on_lacking(self, sender: ReplicaId, message: Lacking) -> None:
        if sender == self.me:
            return
        out = self.state.out
        if self.founded and self.transcript is not None:
            out.hints.append((sender, Founded(self.transcript)))
        else:
            mine = [one for one in self._said if one.receiver in (ALL, sender)]
            out.messages += [(sender, addressed(one)) for one in mine]
        if self._confirmed and self._outcome is not None and not self.founded:
            coin = ThresholdCoin(ThresholdKeys(self._outcome.combined.public, self.me, self._share))
            out.messages.append((sender, Confirm(self._digest, coin.share(possession_name(self._digest)))))
        if message.delivered == WITHOUT_SHARE and self._row:
            value = value_for(self._row, sender)
            out.hints.append((sender, Help(self._mine.ceremony.help(self.me, sender, value, self._mine.secret))))

    def _on_founded(self, sender: ReplicaId, transcript: Transcript) -> None:
        """Its seals are checked, and there are n - f: one of them is an honest replica's."""
        self._agree(transcript)
        if self._outcome is None:
            self.state.out.lies.append((sender, "keys that nobody can have confirmed"))
            return
        if self._share:
            self.state.out.records.append(Foundation(transcript))
            self._found(transcript)
            self._settle()

    def _on_help(self, sender: ReplicaId, message: Help) -> None:
        assert self._outcome is not None
        self._heard_help[sender] = None
        combined, ceremony = self._outcome.combined, self._mine.ceremony
        try:
            value = ceremony.helped(sender, self.me, message.box, self._mine.secret)
            if not combined.fits(sender, self.me, value):
                raise Lie("a value that does not fit")
        except Lie as lie:
            self.state.out.lies.append((sender, str(lie)))
            return
        self._values[sender] = value
        if len(self._values) == self.state.committee.weak and not self._share:
            self._share = combined.share_of_help(self._values)
            if self.transcript is not None and sealed_enough(self.transcript, self.state.committee):
                self.state.out.records.append(Foundation(self.transcript))
                self._found(self.transcript)
                self._settle()


def transcript_of(agreed: Agreed) -> Transcript:
    return Transcript(tuple(sorted(agreed.dealings.items())), tuple(sorted(agreed.verdicts.items())))


def addressed(said: Said) -> Working:
    """A word of the key generation as a message."""
    kind = Broadcasting if isinstance(said.body, BROADCASTING) else Agreeing
    return kind(FIRST_EPOCH + said.stage, said.proposer, said.body)  # type: ignore[arg-type]


class Late:
    """The keys' place, before there are any: epochs are given this, and what they do with it waits until then."""

    def __init__(self) -> None:
        self.keys: ThresholdKeys | None = None

    def there(self) -> ThresholdKeys:
        assert self.keys is not None, "no epoch begins before the cluster is founded"
        return self.keys


class LateCoin:
    def __init__(self, late: Late) -> None:
        self._late = late

    def share(self, name: bytes) -> bytes:
        return ThresholdCoin(self._late.there()).share(name)

    def verifies(self, name: bytes, sender: ReplicaId, share: bytes) -> bool:
        return ThresholdCoin(self._late.there()).verifies(name, sender, share)

    def combine(self, name: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes:
        return ThresholdCoin(self._late.there()).combine(name, shares)


class LateEncryption:
    def __init__(self, late: Late) -> None:
        self._late = late

    def encrypt(self, label: bytes, plaintext: bytes, entropy: bytes) -> bytes:
        return ThresholdEncryption(self._late.there()).encrypt(label, plaintext, entropy)

    def checks(self, label: bytes, ciphertext: bytes) -> bool:
        return ThresholdEncryption(self._late.there()).checks(label, ciphertext)

    def share(self, label: bytes, ciphertext: bytes) -> bytes:
        return ThresholdEncryption(self._late.there()).share(label, ciphertext)

    def verifies(self, label: bytes, ciphertext: bytes, sender: ReplicaId, share: bytes) -> bool:
        return ThresholdEncryption(self._late.there()).verifies(label, ciphertext, sender, share)

    def combine(self, label: bytes, ciphertext: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes:
        return ThresholdEncryption(self._late.there()).combine(label, ciphertext, shares)
