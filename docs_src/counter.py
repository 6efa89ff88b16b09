"""A counter that n machines keep together: the smallest class worth replicating."""

from outvote import StateMachine, command, query


class Counter(StateMachine):
    value: int = 0

    @command
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @query
    def read(self) -> int:
        return self.value
