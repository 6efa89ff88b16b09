"""A client whose operations are none: garbage, unknown commands, wrong arguments, nested without end, or missing."""

from __future__ import annotations

from typing import Final

import msgspec

from outvote.machines.operations import encode_operation
from outvote.simulator.adversaries.false_client import FalseClient

NESTED: Final = b"\x92\xa3put" + b"\x91" * 3000 + b"\xc0"
KINDS: Final = 8


class MalformedOperations(FalseClient):
    """What is sealed by its client is ordered, whatever it is; every replica must refuse it alike. A good operation
    beside it is executed."""

    def begin(self) -> None:
        self.repeat(self._issue, self.powers.requests_max)

    def _issue(self) -> None:
        powers = self.powers
        number = powers.next_number()
        operations = [self._malformed()]
        if self.rng.random() < 0.5:
            operations.append(powers.draw())
        if self.rng.random() < 0.1:
            operations = []
        powers.submit_to_all(powers.request(number, operations, number - 1))
        self.lies += 1

    def _malformed(self) -> bytes:
        rng, good = self.rng, self.powers.draw()
        name = rng.choice(list(self.powers.interface.commands))
        return (
            rng.randbytes(rng.randrange(40)),
            good[: rng.randrange(len(good))],
            good + b"\x00",
            encode_operation("no such command", []),
            encode_operation(name, [{"a": [None, 1.5]}] * 3),
            encode_operation(name, [1] * 20),
            NESTED,
            msgspec.msgpack.encode([name, {"key": float("nan")}]),
        )[rng.randrange(KINDS)]
