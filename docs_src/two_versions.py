"""Two implementations of one till: a bug in one replica's is outvoted, the same bug in all is not."""

from outvote import StateMachine, command
from outvote.core.committee import Committee
from outvote.host.inline import InlineCluster
from outvote.protocols.catalogue import protocol


class Till(StateMachine):
    taken: int = 0  # cents

    @command
    def sell(self, price: int) -> int:
        paid = price - price * 29 // 100  # 29 percent off
        self.taken += paid
        return paid


class OtherTill(StateMachine, derived=("prices",)):
    taken: int = 0
    prices: dict[int, int] = {}  # of its own: no snapshot has it

    @command
    def sell(self, price: int) -> int:
        if price not in self.prices:
            self.prices[price] = price - int(price * 0.29)  # the bug: 100 * 0.29 is a little less than 29
        self.taken += self.prices[price]
        return self.prices[price]


pbft, committee = protocol("pbft"), Committee(4)


def cluster(versions: dict[int, type[StateMachine]]) -> InlineCluster:
    return InlineCluster(Till, lambda me: pbft.make(me, committee, {}), pbft.messages, pbft.records, versions=versions)


if __name__ == "__main__":
    print("the bug in one of four:", cluster({3: OtherTill}).call("sell", 100))
    print("the same bug in all:", cluster(dict.fromkeys(range(4), OtherTill)).call("sell", 100))
