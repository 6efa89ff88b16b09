"""How the rejuvenation of a cluster on this machine stands: written by `outvote up`, read by `outvote status`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from outvote.errors import Mistake
from outvote.types import ReplicaId

FILE: Final = "rejuvenation.json"
BYTES_MAX: Final = 4096  # a note has nine numbers


class RecoveryNote(msgspec.Struct, kw_only=True):
    """Counters since `outvote up` began, and who is overdue now."""

    period_s: float
    bound_s: float  # a recovery that takes longer is an alert
    faults: int  # f
    key_use_s: float  # T_k: the longest that a session key is taken
    repair_s: float  # T_r: the longest from a failure to the recovery
    window_s: float  # T_v = 2 T_k + T_r
    rejuvenated: int = 0  # recovered within the bound or not
    alerts: int = 0
    overdue: ReplicaId | None = None

    def greeting(self) -> str:
        """What the schedule promises."""
        return (
            f"every replica is rejuvenated once in {self.period_s:g} s, one at a time; a faulty one is repaired within"
            f" {self.repair_s:g} s"
        )

    def window(self) -> str:
        """The window of vulnerability, as a sentence."""
        return (
            f"window of vulnerability: at most {self.faults} may become faulty in any {self.window_s:g} s"
            f" (T_v = 2 T_k + T_r = 2 x {self.key_use_s:g} + {self.repair_s:g})"
        )

    def alert(self) -> str:
        """A sentence while a recovery takes longer than its bound, else empty."""
        if self.overdue is None:
            return ""
        return f"ALERT: replica {self.overdue} has not recovered within {self.bound_s:g} s of its rejuvenation"


def write_note(directory: Path, note: RecoveryNote) -> None:
    """All of it or nothing. Raises Mistake if the directory cannot be written."""
    path = directory / FILE
    fresh = path.with_suffix(".new")
    try:
        fresh.write_bytes(msgspec.json.encode(note))
        fresh.replace(path)
    except OSError as error:
        raise Mistake(f"{path}: {error.strerror}; let this user write here") from None


def remove_note(directory: Path) -> None:
    """Nobody rejuvenates the cluster any more."""
    (directory / FILE).unlink(missing_ok=True)


def read_note(directory: Path) -> RecoveryNote | None:
    """None if the cluster is not rejuvenated from here. Raises Mistake if the file is no note."""
    path = directory / FILE
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(BYTES_MAX), type=RecoveryNote)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise Mistake(f"{path} cannot be read ({error}): remove it, outvote up writes it anew") from None
