"""Every message that a run really sends has one valid form: whatever else means the same is refused."""

from __future__ import annotations

import pytest
from test_codec import meaning, other_forms

from outvote.errors import Lie
from outvote.protocols.catalogue import protocol
from outvote.simulator.swarm import draw
from outvote.simulator.world import World

FORMS_TRIED_MAX = 200  # of one message: a batch has thousands


def test_no_message_of_a_run_can_be_said_in_another_form(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: dict[str, bytes] = {}
    decode = World(draw(0), protocol("pbft")).codec.decode

    def keep(sender: object, body: bytes) -> None:
        try:
            bodies.setdefault(type(decode(body)[0]).__name__, body)
        except Lie:
            return  # a liar's

    for seed in range(4):
        world = World(draw(seed), protocol("pbft"), checkers=())
        monkeypatch.setattr(world, "_listen", keep)
        world.run()
    assert len(bodies) >= 10, sorted(bodies)
    for body in bodies.values():
        assert decode(body)
        alike = [other for other in other_forms(body)[:FORMS_TRIED_MAX] if meaning(other) == meaning(body)]
        assert alike
        for other in alike:
            with pytest.raises(Lie):
                decode(other)
