"""Three families of errors: our mistake, their lie, broken storage; and the three answers that are no answer.

`Mistake` is raised for what the user of this library can mend: its text is one sentence that says what to do.
`Lie` never leaves the host: whoever reads bytes from a peer catches it, counts it and drops the input.
`BrokenStorage` stops the replica: a promise that may not be durable must not be followed by another.
"""

from __future__ import annotations


class OutvoteError(Exception):
    """Anything that outvote raises on purpose."""


class Mistake(OutvoteError):
    """Wrong configuration or wrong use, on our side; the text says what to do."""


class NotDeterministic(Mistake):
    """A user's class gave two states for one history; the text shows where they part."""


class Lie(OutvoteError):
    """Input from outside that no correct party would send: malformed, oversized, forged or out of place."""


class OtherVersion(Lie):
    """The other end is genuine, and speaks no wire format that we speak."""


class BrokenStorage(OutvoteError):
    """The disk failed, or returned something other than what was written; the text names the file."""


class DiskFull(BrokenStorage):
    """No space left: nothing more can be promised until there is."""


class Rot(BrokenStorage):
    """A record that was durable once cannot be read back: not a torn tail, so nothing may be cut off."""


class Unanswered(OutvoteError):
    """A client's request that got no accepted answer."""


class Refused(Unanswered):
    """Definite: enough replicas agree that the operation was refused, with this reason; it changed nothing
    but what the user's command itself changed before it refused."""


class UnknownOutcome(Unanswered):
    """Indefinite: the request left, and no f + 1 equal answers came back in time; it may yet be executed."""


class NotEnoughReplicas(Unanswered):
    """Fewer replicas are reachable than a quorum, so nothing can be ordered now.

    `may_execute` is False if no replica was ever handed the request: then it certainly has not run.
    """

    def __init__(self, text: str, may_execute: bool) -> None:
        super().__init__(text)
        self.may_execute = may_execute
