"""Wrong on purpose: each replica would draw a number of its own. `outvote check sampler:Sampler` finds it."""

import random

from outvote import StateMachine, command


class Sampler(StateMachine):
    last: int = 0

    @command
    def draw(self) -> int:
        self.last = random.getrandbits(32)
        return self.last
