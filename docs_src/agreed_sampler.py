"""The sampler, right: time and chance come from the agreed context, which a command gets by asking for it."""

from outvote import Context, StateMachine, command


class AgreedSampler(StateMachine):
    last: int = 0
    drawn_at_ns: int = 0

    @command
    def draw(self, context: Context) -> int:
        self.last = context.random_below(1 << 32)
        self.drawn_at_ns = context.time_ns
        return self.last
