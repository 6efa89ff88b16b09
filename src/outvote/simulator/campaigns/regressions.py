"""Failures that were found once, as a file that is kept with the tests: `[[regression]]` tables in TOML.

A case's name means another run when the generators change, so what is replayed is the plan, where there is one. The
file is read into typed values; it holds no code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import tomli_w

from outvote.errors import Mistake
from outvote.protocols.catalogue import protocol
from outvote.simulator.campaigns.catalogue import plan_of_case
from outvote.simulator.plan import Plan


class Regression(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run that must hold from now on."""

    name: str
    what: str  # what broke, for people
    protocol: str
    case: str  # the run that found it, as it was called then
    plan: str = ""  # the smallest plan that failed, as JSON; without one the case itself is run

    def smallest(self) -> Plan:
        """What is to be run. Raises Mistake for a plan or a case that is none."""
        if not self.plan:
            return plan_of_case(protocol(self.protocol), self.case)
        try:
            return msgspec.json.decode(self.plan, type=Plan)
        except msgspec.MsgspecError as error:
            raise Mistake(f"the regression {self.name} has a plan that is none: {error}") from error


class _File(msgspec.Struct, forbid_unknown_fields=True):
    regression: list[Regression] = []


def as_text(plan: Plan) -> str:
    """JSON of what differs from a plan's defaults."""
    given, plain = msgspec.to_builtins(plan), msgspec.to_builtins(Plan())
    return msgspec.json.encode({name: value for name, value in given.items() if value != plain[name]}).decode()


def load(path: Path) -> list[Regression]:
    """In the order of the file; nothing if it does not exist. Raises Mistake for a file that is not of this form."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).regression
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise Mistake(f"{path} is no file of regressions: {error}") from error


def append(path: Path, found: Iterable[Regression]) -> None:
    """What stands in the file, comments too, stays as it is. Raises OSError."""
    tables = [{name: value for name, value in msgspec.to_builtins(one).items() if value} for one in found]
    with path.open("a", encoding="utf-8") as file:
        for table in tables:
            file.write("\n[[regression]]\n" + tomli_w.dumps(table))
