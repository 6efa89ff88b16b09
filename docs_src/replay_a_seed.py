"""One seed is one run: the same plan, the same events, the same trace, here and on any other machine."""

from outvote.simulator.runs import run_seed

first = run_seed("pbft", 17, keep_trace=True)
again = run_seed("pbft", 17, keep_trace=True)

print("held" if first.ok else first.violation)
print("equal" if (first.digest, first.trace) == (again.digest, again.trace) else "different")
