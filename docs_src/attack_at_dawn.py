"""The Byzantine generals as a replicated service: four of them, one away, agree on one plan after the other."""

from outvote import StateMachine, command
from outvote.core.committee import Committee
from outvote.host.inline import InlineCluster
from outvote.protocols.catalogue import SYNCHRONOUS


class Army(StateMachine):
    plan: str = "undecided"

    @command
    def order(self, plan: str) -> str:
        before, self.plan = self.plan, plan
        return f"{plan} (was: {before})"


signed = SYNCHRONOUS["generals-signed"]
committee = Committee(4)
army = InlineCluster(
    Army, lambda me: signed.make(me, committee, {"round_ms": 100}), signed.messages, signed.records
)

print(army.call("order", "attack at dawn"))
army.down.add(2)
print(army.call("order", "retreat at dusk"), "after", army.clock.now() // 1_000_000, "ms")
