"""A failed run as a file: what ran, what broke, and a plan small enough to read. `outvote replay FILE` runs it again.

The file comes from anywhere, so it is decoded into typed values within a size limit; it holds no code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from outvote.errors import Mistake
from outvote.simulator.plan import Plan

FILE_BYTES_MAX: Final = 16 * 1024 * 1024  # a plan of 100,000 faults takes some 4 MB


class Failure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One failed run."""

    protocol: str
    replay: str  # the command that runs the original again
    violation: str
    step: int  # events up to the violation
    version: str  # of outvote, with the commit where that is known
    plan: Plan
    shrunk: Plan | None = None
    shrunk_violation: str = ""

    @property
    def smallest(self) -> Plan:
        return self.shrunk if self.shrunk is not None else self.plan


def save(failure: Failure, path: Path) -> None:
    """Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(failure), indent=1))


def load(path: Path) -> Failure:
    """Raises Mistake, in a sentence, for a file that is missing, too large or no failure."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise Mistake(f"{path} is larger than {FILE_BYTES_MAX} bytes: it is no failure that outvote wrote")
        return msgspec.json.decode(path.read_bytes(), type=Failure)
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise Mistake(f"{path} is no failure that outvote wrote: {error}") from error
