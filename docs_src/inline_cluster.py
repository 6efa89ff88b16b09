"""Four replicas in one call stack: no process, socket, disk or thread. For tests and notebooks."""

from counter import Counter

from outvote.core.committee import Committee
from outvote.host.inline import InlineCluster
from outvote.protocols.catalogue import protocol

pbft = protocol("pbft")
committee = Committee(4)
cluster = InlineCluster(Counter, lambda me: pbft.make(me, committee, {}), pbft.messages, pbft.records)

print(cluster.call("add", 3))
cluster.down.add(0)  # the primary; the others change the view
print(cluster.call("add", 4), "in view", cluster.turns[1].core.standing().view)
