"""Rules against slow primaries, turned off."""

from __future__ import annotations

import pytest

from outvote.protocols.pbft import performance
from outvote.protocols.pbft.state import State


def nobody_complains(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(performance, "complain", lambda _state: False)


def debts_are_forgiven_to_who_starves_one(patch: pytest.MonkeyPatch) -> None:
    """Good service to the others pays for it."""

    def passed_over(_performance: object, _config: object) -> bool:
        return False

    patch.setattr(performance, "passed_over", passed_over)


def complaints_bear_no_relation_to_the_network(patch: pytest.MonkeyPatch) -> None:
    """A fixed bound: on a slow network every primary is too slow."""
    patch.setattr(performance, "allowance_ns", lambda _performance, _config: 2_000_000)


def one_complaint_suffices(patch: pytest.MonkeyPatch) -> None:
    original = performance.complain

    def complain(state: State) -> bool:
        return original(state) or state.performance.complained

    patch.setattr(performance, "complain", complain)
