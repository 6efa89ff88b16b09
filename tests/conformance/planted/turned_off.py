"""A protocol's rules that are turned off one by one, and where each is missed: by the swarm, or by a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from inspect import isfunction
from types import ModuleType
from typing import NamedTuple

import pytest

from outvote.simulator.checkers.violation import Violation
from outvote.simulator.runs import run_seed


@cache
def broken_by(protocol: str, seed: int) -> str:
    """What a run without any planted bug breaks: several bugs are found by one seed."""
    return run_seed(protocol, seed).violation


class TurnedOff(NamedTuple):
    """`rules` has a function of a MonkeyPatch for each; `swarm` the first seed that missed it, `scripts` what fails."""

    protocol: str
    rules: ModuleType
    swarm: Mapping[str, int]
    scripts: Mapping[str, Callable[[], None]]
    budget_runs: int
    pieces: tuple[str, ...]  # functions of the module that are no rule, besides private ones

    def is_found_by_the_swarm(self, name: str) -> None:
        """And the same seed holds without the bug."""
        for seed in range(self.swarm[name], self.swarm[name] + self.budget_runs):
            with pytest.MonkeyPatch.context() as patch:
                getattr(self.rules, name)(patch)
                killed = not run_seed(self.protocol, seed).ok
            if killed:
                assert broken_by(self.protocol, seed) == ""
                return
        pytest.fail(f"{self.budget_runs} runs from {self.swarm[name]} on held with a bug planted")

    def is_found_by_its_script(self, name: str) -> None:
        """It holds as things are, and fails once the bug is planted."""
        self.scripts[name]()
        with pytest.MonkeyPatch.context() as patch:
            getattr(self.rules, name)(patch)
            with pytest.raises((AssertionError, Violation)):
                self.scripts[name]()

    def leaves_nothing_out(self) -> None:
        planted = {
            name for name, value in vars(self.rules).items()
            if isfunction(value) and value.__module__ == self.rules.__name__
            and not name.startswith("_") and name not in self.pieces
        }
        assert planted == set(self.swarm) | set(self.scripts)
        assert not set(self.swarm) & set(self.scripts)
