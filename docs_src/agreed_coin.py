"""The coin, right: time and chance come from the agreed context, which a command gets by asking for it."""

from outvote import Context, StateMachine, command


class AgreedCoin(StateMachine):
    heads: int = 0
    last_toss_ns: int = 0

    @command
    def toss(self, context: Context) -> int:
        self.heads += context.random_below(2)
        self.last_toss_ns = context.time_ns
        return self.heads
