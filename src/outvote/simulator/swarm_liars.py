"""Who lies in a seed's run, and how: replicas, clients, and an adversary that chooses while the run goes on.

Kept: at most f replicas lie, and which they are has nothing to do with whose turn it is to lead.
"""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from outvote.core import quorums
from outvote.protocols.catalogue import protocol as find_protocol
from outvote.simulator.adversaries.catalogue import GRAY, names_for
from outvote.simulator.adversaries.client_catalogue import FALSE_CLIENTS
from outvote.simulator.plan import Sins
from outvote.types import ReplicaId

FALSE_CLIENTS_SHARE: Final = 0.25  # of the seeds
ADAPTIVE_SHARE: Final = 0.125
GRAY_SHARE: Final = 0.125  # of the seeds with a liar, which is broken besides
MOVER_SHARE: Final = 2 / 3  # of the seeds that rejuvenate
AIMED_SHARE: Final = 0.2  # of the sins, towards some replicas only
TIMED_SHARE: Final = 0.2  # of the sins, for some time only
MOMENTS_MS: Final = (200, 500, 1000, 2000, 3000, 5000)  # most work is done within the first nine seconds


class Lies(NamedTuple):
    """As a plan has them."""

    liars: tuple[tuple[ReplicaId, Sins], ...]
    false_clients: tuple[Sins, ...]
    adaptive: Sins


def draw_lies(protocol: str, seed: int, n: int) -> Lies:
    """Each kind of liar from a stream of its own."""
    if not find_protocol(protocol).byzantine:
        return Lies((), _false_clients(Random(f"{seed} false clients")), ())
    names = [name for name in names_for(protocol) if name not in GRAY]
    adaptive = _adaptive(Random(f"{seed} adaptive adversary"), n, names)
    return Lies(
        _broken(Random(f"{seed} gray faults"), _liars(Random(f"{seed} liars"), n, names, spared=1 if adaptive else 0)),
        _false_clients(Random(f"{seed} false clients")),
        adaptive,
    )


def draw_mover(protocol: str, rng: Random, n: int) -> Sins:
    """What the adversary that moves from one replica to the next has each of them do; or nothing."""
    names = [name for name in names_for(protocol) if name not in GRAY]
    return _sins(rng, n, names) if names and rng.random() < MOVER_SHARE else ()


def _liars(rng: Random, n: int, names: list[str], spared: int) -> tuple[tuple[ReplicaId, Sins], ...]:
    """Up to f of them, less those that are corrupted later."""
    most = quorums.faults(n) - spared
    replicas = sorted(rng.sample(range(n), min(most, rng.choice((0, 1, 1, most)))))
    return tuple((replica, _sins(rng, n, names)) for replica in replicas)


def _broken(rng: Random, liars: tuple[tuple[ReplicaId, Sins], ...]) -> tuple[tuple[ReplicaId, Sins], ...]:
    """Now and then the last of them has a gray fault instead of its lies."""
    if not liars or rng.random() >= GRAY_SHARE:
        return liars
    return *liars[:-1], (liars[-1][0], (rng.choice(sorted(GRAY)),))


def _sins(rng: Random, n: int, names: list[str]) -> Sins:
    """One to three, mostly for everybody and always."""
    chosen = rng.sample(names, rng.choice((1, 1, 2, 3)))
    return tuple(sorted(name + _aim(rng, n) + _moments(rng) for name in chosen))


def _aim(rng: Random, n: int) -> str:
    if rng.random() >= AIMED_SHARE:
        return ""
    return "@" + ".".join(map(str, sorted(rng.sample(range(n), rng.randint(1, n - 2)))))


def _moments(rng: Random) -> str:
    if rng.random() >= TIMED_SHARE:
        return ""
    since, until = sorted(rng.sample(MOMENTS_MS, 2))
    return f"/{since}ms-{until}ms" if rng.random() < 0.7 else f"/{since}ms-"


def _false_clients(rng: Random) -> tuple[Sins, ...]:
    if rng.random() >= FALSE_CLIENTS_SHARE:
        return ()
    names = sorted(FALSE_CLIENTS)
    return tuple(tuple(sorted(rng.sample(names, rng.choice((1, 1, 2))))) for _ in range(rng.choice((1, 1, 2))))


def _adaptive(rng: Random, n: int, names: list[str]) -> Sins:
    return _sins(rng, n, names) if rng.random() < ADAPTIVE_SHARE else ()
