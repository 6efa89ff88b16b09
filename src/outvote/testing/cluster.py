"""A simulated cluster of the user's own class, called like a function: `cluster.call("deposit", "ann", 5)`.

Each call lets virtual time pass until f + 1 replicas have given the same answer. No processes, sockets or disks: the
replicas are the real ones, in the simulator's world, so a call takes milliseconds and a seed is a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from outvote.errors import Mistake, NotDeterministic, NotEnoughReplicas
from outvote.machines.interface import Interface, describe
from outvote.machines.machine import StateMachine
from outvote.protocols.catalogue import protocol as find_protocol
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Sins
from outvote.testing.case import (
    Case,
    check_case,
    check_liars,
    check_replica,
    faults_of,
    liars_of,
    plan_of,
)
from outvote.testing.fresh_processes import check_in_fresh_processes
from outvote.testing.history import complaint
from outvote.testing.weather import Weather
from outvote.testing.words import spelled_call
from outvote.testing.world import CallingClient, DrivenWorld, Submitted
from outvote.types import SECOND, Nanos, Position, ReplicaId

PATIENCE_NS: Final[Nanos] = 60 * SECOND  # of virtual time: a dozen fruitless views, with their timeouts doubling
CLIENTS_MAX: Final = 1000

Result = TypeVar("Result")
M = TypeVar("M", bound=StateMachine)


class NoSuchCommand(Mistake, AttributeError):
    """A client was asked for a command that the class does not have; also an AttributeError, so that hasattr works."""


class Pending:
    """An operation that was submitted; `cluster.run()` or `result()` lets time pass until it is answered."""

    __slots__ = ("_cluster", "_entry")

    def __init__(self, cluster: SimulatedCluster[Any], entry: Submitted) -> None:
        self._cluster = cluster
        self._entry = entry

    def __repr__(self) -> str:
        return f"<{self._entry.text}: {'answered' if self.done else 'waiting'}>"

    @property
    def done(self) -> bool:
        return not self._entry.open

    @property
    def position(self) -> Position:
        """Its place in the total order. Raises Mistake while there is no answer."""
        if self._entry.statement is None:
            raise Mistake(f"{self._entry.text} has no answer yet: let time pass with run() or result()")
        return self._entry.statement.position

    def result(self) -> Any:
        """What the command returned, waited for. Raises as `SimulatedCluster.call` does."""
        return self._cluster._result(self._entry)


class Caller:
    """One client with a key of its own: `client.deposit("ann", 5)`, or `client.call("deposit", "ann", 5)` for commands
    that have the name of something here."""

    def __init__(self, cluster: SimulatedCluster[Any], client: CallingClient) -> None:
        self._cluster = cluster
        self._client = client

    @property
    def number(self) -> int:
        """What a command sees as `context.client`."""
        return self._client.client

    def submit(self, name: str, *arguments: Any, **keywords: Any) -> Pending:
        """Hand it in and go on. Raises Mistake for a call that does not fit the class."""
        return self._cluster._submit(self._client, name, arguments, keywords)

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Hand it in and wait. Raises as `SimulatedCluster.call` does."""
        return self.submit(name, *arguments, **keywords).result()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):  # of no command, and asked for by copy before there is a cluster
            raise AttributeError(name)
        try:
            self._cluster.interface.command(name)
        except Mistake as error:
            raise NoSuchCommand(str(error)) from None

        def call(*arguments: Any, **keywords: Any) -> Any:
            return self.call(name, *arguments, **keywords)

        return call


class SimulatedCluster(Generic[M]):
    """n replicas of one class, of which up to f lie, and any number of clients.

    As a context manager it checks everything when the block ends without an exception."""

    def __init__(
        self,
        machine: type[M],
        case: Case,
        *,
        liars: Mapping[ReplicaId, str] | None = None,
        parameters: Mapping[str, int] | None = None,
        check_determinism: bool = False,
    ) -> None:
        """Raises Mistake for a class that cannot be replicated or a case that makes no sense, NotDeterministic if
        `check_determinism` finds a difference."""
        self.machine = machine
        self.case = check_case(case)
        self.interface: Interface = describe(machine)
        if check_determinism:
            check_in_fresh_processes(machine)
        corrupted: Mapping[ReplicaId, Sins] = (
            liars_of(case) if liars is None else {replica: tuple(text.split("+")) for replica, text in liars.items()}
        )
        check_liars(corrupted, case)
        self.world = DrivenWorld(plan_of(case, corrupted, parameters or {}), find_protocol(case.protocol), machine)
        self._sins: dict[ReplicaId, Sins] = dict(corrupted)
        self._history: list[Submitted] = []
        self._down: list[ReplicaId] = []  # crashed by the test
        self._cuts: list[tuple[ReplicaId, ReplicaId]] = []  # made by the test
        self._weather = Weather(self.world, faults_of(case), self._down, lambda: bool(self._open()))
        self._broken = False  # a check has failed: what follows proves nothing
        self._finished = False
        self.world.start()
        self._first = self.client()

    def __repr__(self) -> str:
        return f"<cluster of {self.interface.name}, {self.case.describe()}, now {self.now:.3f} s>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        self._finished = True

    # ------------------------------------------------------------------ what a test looks at

    @property
    def replicas(self) -> int:
        return self.case.replicas

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.world.now / SECOND

    @property
    def liars(self) -> dict[ReplicaId, str]:
        """Who lies by now, and how."""
        return {replica: "+".join(sins) for replica, sins in sorted(self._sins.items())}

    @property
    def finished(self) -> bool:
        """Whether the last check is over, or a check has failed."""
        return self._finished or self._broken

    def state(self, replica: ReplicaId) -> M:
        """A replica's own copy of the state, to look at. Raises Mistake if it is down."""
        check_replica(replica, self.replicas)
        if self.world.replicas[replica].turn is None:
            raise Mistake(f"replica {replica} is down: its state is on its disk, restart({replica}) reads it")
        state = self.world.machine_of(replica)
        assert isinstance(state, self.machine)
        return state

    # ------------------------------------------------------------------ calls

    def client(self) -> Caller:
        """Another client. Raises Mistake if there are too many."""
        if len(self.world.clients) >= CLIENTS_MAX:
            raise Mistake(f"{CLIENTS_MAX} clients are the most: use one for several calls")
        return Caller(self, self.world.add_client())

    def call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """One operation of the first client, waited for.

        Raises Refused with the reason if the class refused it, NotEnoughReplicas if too many are down or cut off for
        an answer within a minute of virtual time, Mistake for a call that does not fit the class, and Violation or
        NotDeterministic if something is wrong with the cluster or with the class."""
        return self._first.call(name, *arguments, **keywords)

    def submit(self, name: str, *arguments: Any, **keywords: Any) -> Pending:
        """One operation of the first client, not waited for."""
        return self._first.submit(name, *arguments, **keywords)

    def run(self, seconds: float | None = None) -> None:
        """Let virtual time pass: so many seconds, or until everything submitted is answered. Raises as `call`."""
        if seconds is None:
            self._wait(self._open())
        else:
            until = self.world.now + int(seconds * SECOND)
            self._drive(lambda: False, until)

    def _open(self) -> list[Submitted]:
        return [entry for entry in self._history if entry.open]

    def _submit(
        self, client: CallingClient, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Pending:
        operation = self.interface.encode(name, arguments, keywords)
        text = spelled_call(name, arguments, keywords)
        entry = Submitted(client.client, name, text, operation, self.world.now)
        self.world.submit(client, entry)
        self._history.append(entry)
        return Pending(self, entry)

    def _result(self, entry: Submitted) -> Any:
        self._wait([entry])
        if entry.failure is not None:
            raise entry.failure
        assert entry.statement is not None
        return self.interface.decode(entry.name, entry.statement.results[0])

    def _wait(self, entries: Sequence[Submitted]) -> None:
        if self._drive(lambda: not any(entry.open for entry in entries), self.world.now + PATIENCE_NS):
            return
        text = next(entry.text for entry in entries if entry.open)
        able, quorum = self.able, self.world.committee.quorum
        if able < quorum:
            raise NotEnoughReplicas(
                f"{text} has no answer after {PATIENCE_NS // SECOND} s of virtual time: {able} of {self.replicas} "
                f"replicas are honest, up and connected, and {quorum} are needed ({self._troubles()}): restart() or "
                "heal() some before you call; it may yet be executed",
                may_execute=True,
            )
        raise self._failed(
            Violation("liveness", f"{text} has no answer after {PATIENCE_NS // SECOND} s: {self._standings()}")
        )

    def _drive(self, happened: Callable[[], bool], until: Nanos) -> bool:
        if self._broken:
            raise Mistake("a check of this cluster has failed: what it answers now proves nothing, so make another")
        return self._watched(lambda: self.world.wait_for(happened, until))

    def _watched(self, act: Callable[[], Result]) -> Result:
        """What an act comes to. Raises what a checker raised meanwhile."""
        try:
            return act()
        except (Violation, NotDeterministic) as error:
            failure = error
        raise self._failed(failure)

    def _failed(self, error: Violation | NotDeterministic) -> Violation | NotDeterministic:
        """To be raised anew, so that a test's report shows its own line and not the simulator's inside."""
        self._broken = True
        return error.with_traceback(None)

    # ------------------------------------------------------------------ faults

    def crash(self, replica: ReplicaId) -> None:
        """It loses its memory, and of its disk what was not synced; nothing happens if it is down already."""
        check_replica(replica, self.replicas)
        self.world.replicas[replica].crash()
        if replica not in self._down:
            self._down.append(replica)

    def restart(self, replica: ReplicaId | None = None) -> None:
        """It comes back with what is on its disk; without a number, all that are down."""
        for one in [*self._down] if replica is None else [replica]:
            check_replica(one, self.replicas)
            if one in self._down:
                self._down.remove(one)
            self._watched(self.world.replicas[one].start)

    def partition(self, *sides: Sequence[ReplicaId]) -> None:
        """Replicas of different sides do not hear each other any more; those that are not named are one more side.
        Clients reach everybody. Raises Mistake if a replica is on two sides."""
        named = [replica for side in sides for replica in side]
        for replica in named:
            check_replica(replica, self.replicas)
        if len(set(named)) < len(named) or not named:
            raise Mistake("name each replica on one side only, as in partition([0], [1, 2, 3])")
        side_of = {replica: number for number, side in enumerate(sides) for replica in side}
        for sender in range(self.replicas):
            for receiver in range(self.replicas):
                if side_of.get(sender, -1) != side_of.get(receiver, -1):
                    self.world.network.cut(sender, receiver)
                    self._cuts.append((sender, receiver))

    def heal(self) -> None:
        """Every partition made by the test is over."""
        for sender, receiver in self._cuts:
            self.world.network.heal(sender, receiver)
        self._cuts.clear()

    def corrupt(self, replica: ReplicaId, behaviour: str) -> None:
        """From now on it lies; "equivocate+replay" does both. Raises Mistake if there is no such behaviour, or if more
        than f replicas would lie."""
        sins = tuple(behaviour.split("+"))
        check_liars({**self._sins, replica: sins}, self.case)
        self._sins[replica] = sins
        self.world.corrupt(replica, sins)

    @property
    def able(self) -> int:
        """How many replicas are honest, not crashed by the test, and on one side of its partitions: a quorum of them
        answers every call, sooner or later."""
        up = [one for one in range(self.replicas) if one not in self._down and one not in self._sins]
        return max((sum((one, other) not in self._cuts for other in up) for one in up), default=0)

    def _troubles(self) -> str:
        troubles = [f"replica {replica} lies: {text}" for replica, text in self.liars.items()]
        troubles += [f"replica {replica} is down" for replica in sorted(self._down)]
        troubles += ["there is a partition"] if self._cuts else []
        return ", ".join(troubles)

    def _standings(self) -> str:
        return "; ".join(f"replica {one.me}: {one.describe()}" for one in self.world.replicas[: self.replicas])

    # ------------------------------------------------------------------ checks

    def check(self) -> None:
        """Ends the test's crashes and partitions, waits until everything submitted is answered and every honest
        replica has executed all of it, and looks at all that must hold. Raises Violation or NotDeterministic.

        Liars go on lying, and the cluster may be used further."""
        self._weather.calm = True
        self.heal()
        self.restart()
        for replica in range(self.replicas):
            self.world.replicas[replica].no_more_crashes()
            self._watched(self.world.replicas[replica].start)
        self._settle()
        self._judge()
        self._weather.calm = False

    def finish(self) -> None:
        """The last check: besides what `check` does, losses end first. Once; afterwards it does nothing."""
        if self.finished:
            return
        self._finished = True
        self._watched(self.world.end_faults)
        self.check()
        for told in self.world.watch.finished:
            self._watched(told)

    def _settle(self) -> None:
        """Everything answered, everybody level."""
        waiting = self._open()
        healed = self.world.now
        if not self._drive(lambda: not any(entry.open for entry in waiting), healed + PATIENCE_NS):
            left = [entry.text for entry in waiting if entry.open]
            raise self._failed(
                Violation(
                    "liveness",
                    f"{len(left)} operations without an answer {PATIENCE_NS // SECOND} s after all faults but lies "
                    f"ended, {left[0]} among them; {self._standings()}",
                )
            )
        if not self._drive(self._level, self.world.now + PATIENCE_NS):
            raise self._failed(
                Violation(
                    "liveness",
                    f"an honest replica stays behind {PATIENCE_NS // SECOND} s after all faults but lies ended; "
                    f"{self._standings()}",
                )
            )

    def _level(self) -> bool:
        last = max(self.world.deliveries, default=0)
        return all(
            turn is not None and turn.executor.position >= last
            for turn in (self.world.replicas[one].turn for one in range(self.replicas) if one not in self._sins)
        )

    def _judge(self) -> None:
        text = complaint(self.machine, self.world.deliveries, self._history)
        if text:
            raise self._failed(Violation("linearizability", text))


def simulated_cluster(
    machine: type[M],
    *,
    behaviours: str = "equivocate",
    seed: int = 0,
    replicas: int = 4,
    protocol: str = "pbft",
    faults: str = "none",
    liars: Mapping[ReplicaId, str] | None = None,
    parameters: Mapping[str, int] | None = None,
    check_determinism: bool = False,
) -> SimulatedCluster[M]:
    """A cluster of `machine`, for a `with` block; without one, end with `cluster.finish()`.

    `behaviours`: how f replicas lie: "equivocate", "silent+replay", "random" or "none"; `liars` says it for each
    replica instead: {0: "silent"}. `faults`: see FAULTS in case.py. `parameters`: the protocol's, by name. Raises
    Mistake for what makes no sense."""
    case = Case(behaviours=behaviours, seed=seed, replicas=replicas, protocol=protocol, faults=faults)
    return SimulatedCluster(
        machine, case, liars=liars, parameters=parameters, check_determinism=check_determinism
    )
