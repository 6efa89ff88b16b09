"""How a command ends: one sentence on standard error and an exit code, never a traceback on the screen.

0 done   1 a negative answer (refused, check failed, no such key)   2 a mistake in use or configuration
3 broken storage   4 no answer   70 a defect of outvote   130 Ctrl-C
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path
from typing import Final

from outvote.errors import (
    BrokenStorage,
    Lie,
    Mistake,
    NotEnoughReplicas,
    OutvoteError,
    Refused,
    UnknownOutcome,
)

DONE: Final = 0
NEGATIVE: Final = 1
MISTAKE: Final = 2
BROKEN_STORAGE: Final = 3
NO_ANSWER: Final = 4
DEFECT: Final = 70
INTERRUPTED: Final = 130

_CODES: Final[tuple[tuple[type[OutvoteError], int], ...]] = (
    (Mistake, MISTAKE),
    (BrokenStorage, BROKEN_STORAGE),
    (UnknownOutcome, NO_ANSWER),
    (NotEnoughReplicas, NO_ANSWER),
    (Refused, NEGATIVE),
    (Lie, NEGATIVE),
)


def code_of(error: OutvoteError) -> int:
    return next((code for kind, code in _CODES if isinstance(error, kind)), NEGATIVE)


def complain(text: str) -> None:
    print(f"outvote: {' '.join(text.split())}", file=sys.stderr, flush=True)


def ended_by(error: OutvoteError) -> int:
    """Say why, and give the exit code."""
    text = str(error) or type(error).__name__
    if isinstance(error, UnknownOutcome):
        text += " (it may have been executed, or still be)"
    complain(text)
    return code_of(error)


def ended_by_defect(error: BaseException, directory: Path | None = None) -> int:
    """A sentence on the screen; the traceback goes to a file in `directory`, or among the temporary files."""
    trace = "".join(traceback.format_exception(error))
    try:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / "defect.txt"  # one file, overwritten: restarts must not fill the disk
            path.write_text(trace)
        else:
            with tempfile.NamedTemporaryFile(
                "w", prefix="outvote-defect-", suffix=".txt", delete=False
            ) as file:
                file.write(trace)
            path = Path(file.name)
        where = f"the details are in {path}"
    except OSError as problem:
        where = f"the details could not be written ({problem.strerror})"
    complain(f"a defect of outvote, please report it: {type(error).__name__}: {error}; {where}")
    return DEFECT
