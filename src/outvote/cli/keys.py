"""`outvote keys`: offers of replicas that make their own keys, and transcripts of key generations."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from outvote.cli import endings
from outvote.configuration.files import load_genesis, make_offer
from outvote.configuration.offers import offer_from_toml
from outvote.core.contract import Core, canonical
from outvote.core.patience import Patient
from outvote.crypto.seals import Ed25519Opener, domain
from outvote.errors import Lie, Mistake
from outvote.protocols.catalogue import protocol as protocol_named
from outvote.protocols.honeybadger.foundation import (
    TRANSCRIPT_BYTES_MAX,
    Transcript,
    ceremony_of,
    transcript_from_bytes,
)
from outvote.protocols.honeybadger.foundation import verify as verify_transcript
from outvote.types import ReplicaId

TRANSCRIPT_FILE: Final = "threshold.transcript"
LOOK_EVERY_S: Final = 0.2


def offer(directory: Path, replica: ReplicaId, host: str, protocol: str) -> int:
    """Make the keys, say what to do with the file. Raises Mistake."""
    path = make_offer(directory, replica, host, protocol_named(protocol).deals)
    made = offer_from_toml(path.read_text(), str(path))
    print(f"replica {replica}: keys in {directory / f'replica-{replica}'}/, which stays on this machine")
    print(f"public, for whoever makes the cluster: {path}")
    print(f"fingerprint, to be compared by another channel: {made.fingerprint()}")
    print(f"when cluster.toml comes back, put it into {directory}/, then: outvote run {shlex.quote(str(directory))} "
          f"--replica {replica}")  # fmt: skip
    return endings.DONE


def verify(file: Path | None, directory: Path, as_json: bool) -> int:
    """Say what the transcript comes to. Raises Mistake if there is none to look at."""
    genesis = load_genesis(directory)
    threshold = genesis.threshold
    if threshold is None or not threshold.registrations:
        how = "has no threshold keys" if threshold is None else "got its threshold keys from a dealer"
        raise Mistake(f"the cluster {genesis.name} {how}: there is no transcript to verify")
    transcript = transcript_from_file(file or _found(directory))
    cluster = genesis.identity()
    opener = Ed25519Opener(domain(cluster, genesis.epoch), genesis.public_keys(), genesis.n)
    committee = genesis.committee()
    ceremony = ceremony_of(cluster, committee, threshold.registered())
    try:
        outcome = verify_transcript(ceremony, committee, transcript, opener.opens)
    except Lie as lie:
        if as_json:
            print(json.dumps({"valid": False, "reason": str(lie)}))
        else:
            endings.complain(f"not valid: {lie}")
        return endings.NEGATIVE
    confirmed = [one for one, _ in transcript.seals]
    key = outcome.combined.public.key.hex()
    if as_json:
        print(json.dumps({"valid": True, "public_key": key, "dealers": outcome.qualified, "confirmed_by": confirmed}))
    else:
        print(f"valid: threshold keys of {genesis.name}, dealt by replicas {_listed(outcome.qualified)}, confirmed by "
              f"{_listed(confirmed)}\n  public key {key}")  # fmt: skip
    return endings.DONE


def transcript_from_file(path: Path) -> Transcript:
    """Raises Mistake if it is none."""
    try:
        return transcript_from_bytes(_read(path))
    except Mistake as error:
        raise Mistake(f"{path}: {error}") from None


def _listed(replicas: list[ReplicaId]) -> str:
    return ", ".join(map(str, replicas))


def _found(directory: Path) -> Path:
    found = sorted(directory.glob(f"replica-*/{TRANSCRIPT_FILE}"))
    if not found:
        raise Mistake(
            f"{directory} holds no {TRANSCRIPT_FILE}: replicas write it when the keys are made; name one"
        )
    return found[0]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(TRANSCRIPT_BYTES_MAX + 1)
    except OSError as error:
        raise Mistake(f"it cannot be read: {error.strerror}") from None
    if len(raw) > TRANSCRIPT_BYTES_MAX:
        raise Mistake("it is too large for a transcript")
    return raw


def transcript_of(core: Core) -> Transcript | None:
    """What the replica's cluster made its keys of, once it has."""
    inner = core.inner if isinstance(core, Patient) else core
    return getattr(inner, "transcript", None) if getattr(inner, "founded", False) else None


def keep_transcript(core: Core, folder: Path, say: Callable[[str], None]) -> None:
    """Write it beside the keys as soon as it is there, once. It is public; nothing depends on the file. Needs a running
    event loop."""
    path = folder / TRANSCRIPT_FILE
    loop = asyncio.get_running_loop()

    def look() -> None:
        transcript = transcript_of(core)
        if transcript is None:
            loop.call_later(LOOK_EVERY_S, look)
            return
        whole = folder / f"{TRANSCRIPT_FILE}.new"
        try:
            whole.write_bytes(canonical(transcript))
            whole.replace(path)
        except OSError as error:
            say(f"the transcript of the threshold keys could not be written to {path}: {error.strerror}")
        else:
            say(f"threshold keys are made; to check how: outvote keys verify {path}")

    if not path.exists():
        look()
