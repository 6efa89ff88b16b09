"""Wrong on purpose: each replica would toss a coin of its own. `outvote check coin:Coin` finds it."""

import random

from outvote import StateMachine, command


class Coin(StateMachine):
    heads: int = 0

    @command
    def toss(self) -> int:
        self.heads += random.getrandbits(1)
        return self.heads
