"""A client that passes on what others asked for: in their name, in its own under their seal, or as its own wish."""

from __future__ import annotations

import msgspec

from outvote.simulator.adversaries.false_client import FalseClient


class RequestThief(FalseClient):
    """Only the last may happen, for it is no more than the thief could have thought of by itself."""

    def begin(self) -> None:
        self.repeat(self._steal, self.powers.requests_max)

    def _steal(self) -> None:
        powers = self.powers
        if not powers.overheard:
            return
        stolen = self.rng.choice(powers.overheard)
        number = powers.next_number()
        own = powers.request(number, [powers.draw()])
        for replica in range(powers.n):
            powers.submit(replica, stolen)
            powers.submit(replica, msgspec.structs.replace(stolen, client=powers.client))
            # In the name of another, so that the seal is good and the name is not.
            powers.submit(replica, msgspec.structs.replace(own, client=stolen.client))
        powers.submit_to_all(powers.request(number, stolen.operations, number - 1))
        self.lies += 1
