"""What a cluster's own key generation comes to, and how anybody verifies it offline: its transcript.

| Message | Lane | Sealed | Why |
|---|---|---|---|
| Confirm | promise | yes | n - f of them, quoted, are the proof that the transcript is the cluster's |
| Founded | hint | no | proves itself |
| Help | hint | no | its receiver checks what is in the box |

What is said within the two common subsets (broadcast/key_generation.py) travels as BROADCASTING and AGREEING of the
epochs -1 and 0, which no batch has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from outvote.core.certificates import Seals, sound
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Hint, Message, Record, Struct, canonical
from outvote.errors import Lie, Mistake
from outvote.types import Digest, ReplicaId

if TYPE_CHECKING:
    from outvote.crypto.dealings import Ceremony, Combined

# A transcript is one message: n dealings of n boxes and (f + 1)(f + 2) / 2 points, 1.2 MB for 40, of a frame's 4 MiB.
GENERATING_MAX: Final = 40
TRANSCRIPT_BYTES_MAX: Final = 4 << 20

Told = tuple[tuple[ReplicaId, bytes], ...]  # by proposer, ascending


class Confirm(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=5):
    """Replica to all: these dealings and verdicts were agreed on, and I possess my share of the keys."""

    digest: Digest  # of them
    possession: bytes  # a signature of the digest with the share


class Transcript(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Everything public about one key generation. Whoever has it and cluster.toml can compute the public keys."""

    dealings: Told
    verdicts: Told
    possessions: Told = ()  # and the seals under them: of n - f replicas, when it is complete
    seals: Seals = ()

    def digest(self) -> Digest:
        return sha256(b"outvote transcript" + canonical(Transcript(self.dealings, self.verdicts))).digest()

    def claims(self) -> Sequence[Claim]:
        digest, possessions = self.digest(), dict(self.possessions)
        return [Claim(one, Confirm(digest, possessions.get(one, b"")), seal) for one, seal in self.seals]


class Founded(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=23):
    """The answer to LACKING; the keys are made, and so."""

    transcript: Transcript

    def claims(self) -> Sequence[Claim]:
        return self.transcript.claims()


class Help(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=24):
    """The answer to LACKING; a value of your row, in a box for you."""

    box: bytes


class Foundation(Record, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=4):
    """Agreed on; before CONFIRM. Once more when it is complete, and at the beginning of every log."""

    transcript: Transcript


class Outcome(NamedTuple):
    """A transcript, understood."""

    combined: Combined
    qualified: list[ReplicaId]


def possession_name(digest: Digest) -> bytes:
    """What a share signs to show that it is possessed; no coin has this name."""
    return b"outvote possession of a share" + digest


def understood(ceremony: Ceremony, transcript: Transcript) -> Outcome:
    """What the dealings come to. Raises Lie if more than f replicas lied."""
    dealings = dict(transcript.dealings)
    qualified = ceremony.qualified(dealings, dict(transcript.verdicts))
    return Outcome(ceremony.combine(dealings, qualified), qualified)


def sealed_enough(transcript: Transcript, committee: Committee) -> bool:
    """Whether there are n - f seals and proofs of different replicas. What they are worth is checked elsewhere."""
    signers = [one for one, _ in transcript.seals]
    return sound(transcript.seals, committee.n - committee.faults, committee) and signers == [
        one for one, _ in transcript.possessions
    ]


def ceremony_of(cluster: bytes, committee: Committee, registrations: tuple[bytes, ...]) -> Ceremony:
    """The one that founds this cluster. Raises Mistake if it is too large for it, if a registration is wrong, or where
    the library for threshold keys is not installed."""
    from outvote.crypto.dealings import Ceremony, Terms  # noqa: PLC0415 - an extra, and heavy

    if committee.n > GENERATING_MAX:
        raise Mistake(f"replicas make threshold keys together up to {GENERATING_MAX} of them, not {committee.n}")
    return Ceremony(Terms(b"founding" + cluster, committee.weak, registrations, committee.n))


def verify(
    ceremony: Ceremony, committee: Committee, transcript: Transcript, opens: Callable[[Claim], bool]
) -> Outcome:
    """By somebody who was not there. Raises Lie with what is wrong."""
    from outvote.crypto.threshold import possesses  # noqa: PLC0415 - an extra, and heavy

    if not sealed_enough(transcript, committee):
        raise Lie(f"it is not confirmed by {committee.n - committee.faults} replicas")
    for claim in transcript.claims():
        if not opens(claim):
            raise Lie(f"the seal of replica {claim.signer} is not its own")
    outcome = understood(ceremony, transcript)
    name = possession_name(transcript.digest())
    for replica, possession in transcript.possessions:
        if not possesses(outcome.combined.public, replica, name, possession):
            raise Lie(f"replica {replica} has not shown that it possesses its share")
    return outcome


def transcript_from_bytes(raw: bytes) -> Transcript:
    """Raises Mistake if it is none."""
    try:
        transcript = msgspec.msgpack.decode(raw, type=Transcript)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Mistake(f"it is no transcript of a key generation: {error}") from error
    if canonical(transcript) != raw:
        raise Mistake("it is no transcript of a key generation: something is left over")
    return transcript
