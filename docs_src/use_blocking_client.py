"""The same without `await`; here one answer is also kept with its proof."""

from pathlib import Path

from counter import Counter

from outvote import BlockingClient

with BlockingClient("outvote-cluster") as client:
    counter = client.of(Counter)
    print(counter.add(-8))
    answer = client.submit("read")
    print(answer.value, "at position", answer.position)
    Path("receipt.json").write_bytes(answer.receipt.to_json())
