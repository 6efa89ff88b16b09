"""`outvote get`, `put`, ... and `outvote call`: one operation, its agreed answer, and a receipt if wanted.

Invariant: what is printed as an answer was sealed by f + 1 replicas.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from outvote.cli import endings
from outvote.client.aio import Answer, Client
from outvote.client.config import SessionConfig
from outvote.client.receipts import RECEIPT_BYTES_MAX, Receipt
from outvote.client.stale import Stale
from outvote.configuration.files import clients_present, load_client_keys, load_genesis
from outvote.configuration.genesis import Genesis
from outvote.configuration.machine_class import load_machine
from outvote.errors import Lie, Mistake, NotEnoughReplicas, Refused
from outvote.machines.interface import Interface, describe, parse_value
from outvote.machines.key_value import LIST_MAX, KeyValueStore
from outvote.machines.machine import StateMachine
from outvote.machines.operations import decode_outcome
from outvote.storage.files import lock
from outvote.types import FIRST_CLIENT, SECOND, ReplicaId

T = TypeVar("T")

_LOCK_RETRY_S: Final = 0.02
_TIMEOUT_MAX_S: Final = 86_400.0


class Settings(NamedTuple):
    """The options that every client command has."""

    cluster: Path
    client: str | None
    timeout_s: float
    as_json: bool
    receipt: Path | None


# ---- the key-value store ---------------------------------------------------------------------------------------


def get(settings: Settings, key: str) -> int:
    answer = _call(settings, _store(settings), "get", (key,))
    entry = answer.value
    if entry is None:
        if settings.as_json:
            _print_json(key=key, value=None, version=0, position=answer.position)
        else:
            endings.complain(f"there is no key {key!r}")
        return endings.NEGATIVE
    if settings.as_json:
        _print_json(key=key, value=entry.value, version=entry.version, position=answer.position)
    else:
        print(entry.value)
    return endings.DONE


def get_stale(
    settings: Settings, key: str, within_s: float | None, replica: ReplicaId | None, version: bool
) -> int:
    """What one replica has, and how old it is at most."""
    if within_s is None:
        raise Mistake("--replica goes with --stale: say how many seconds old an answer may be")
    machine, seconds = _store(settings), within_s

    async def read(client: Client) -> Stale:
        proof = settings.receipt is not None
        return await client.read_stale("get", key, within_s=seconds, replica=replica, proof=proof)

    with _proof(settings) as keep:
        stale = _run(settings, machine, read, alone=True)
        keep(stale.receipt)
    entry, age_s = stale.value, stale.age_ns / SECOND
    found = 0 if entry is None else entry.version
    if settings.as_json:
        value = None if entry is None else entry.value
        _print_json(
            key=key, value=value, version=found, position=stale.position, replica=stale.replica, age_s=round(age_s, 6)
        )
    elif entry is None and not version:
        endings.complain(f"there was no key {key!r}: replica {stale.replica}, at most {age_s:.3f} s ago")
    else:
        print(found if version else entry.value)
        endings.complain(f"replica {stale.replica}, at most {age_s:.3f} s ago, position {stale.position}")
    return endings.DONE if entry is not None or version else endings.NEGATIVE


def version_of(settings: Settings, key: str) -> int:
    """Print the version that `cas` wants; 0 if there is no such key."""
    answer = _call(settings, _store(settings), "get", (key,))
    version = 0 if answer.value is None else answer.value.version
    if settings.as_json:
        _print_json(key=key, version=version, position=answer.position)
    else:
        print(version)
    return endings.DONE


def put(settings: Settings, key: str, value: str) -> int:
    answer = _call(settings, _store(settings), "put", (key, value))
    if settings.as_json:
        _print_json(key=key, version=answer.value, position=answer.position)
    else:
        print(f"version {answer.value}")
    return endings.DONE


def delete(settings: Settings, key: str) -> int:
    answer = _call(settings, _store(settings), "delete", (key,))
    if settings.as_json:
        _print_json(key=key, deleted=answer.value, position=answer.position)
    elif answer.value:
        print("deleted")
    else:
        endings.complain(f"there is no key {key!r}")
    return endings.DONE if answer.value else endings.NEGATIVE


def compare_and_set(settings: Settings, key: str, value: str, version: int) -> int:
    answer = _call(settings, _store(settings), "cas", (key, value, version))
    written = answer.value is not None
    if settings.as_json:
        _print_json(key=key, written=written, version=answer.value, position=answer.position)
    elif written:
        print(f"version {answer.value}")
    else:
        endings.complain(f"not written: the version of {key!r} is not {version} (see: outvote get --version)")
    return endings.DONE if written else endings.NEGATIVE


def list_keys(settings: Settings, prefix: str, limit: int, after: str) -> int:
    """One page. Says on standard error how to go on if there is more."""
    if not 1 <= limit < LIST_MAX:
        raise Mistake(f"--limit must be 1 to {LIST_MAX - 1}, not {limit}: use --after to go on")
    answer = _call(settings, _store(settings), "list", (prefix, limit + 1, after))
    keys = answer.value[:limit]
    more = len(answer.value) > limit
    if settings.as_json:
        _print_json(keys=keys, more=more, position=answer.position)
        return endings.DONE
    for key in keys:
        print(key)
    if more:
        endings.complain(f"there are more keys: go on with --after {keys[-1]!r}")
    return endings.DONE


def _store(settings: Settings) -> type[StateMachine]:
    genesis = load_genesis(settings.cluster)
    machine = load_machine(genesis.machine)
    if not issubclass(machine, KeyValueStore):
        raise Mistake(
            f"the cluster {genesis.name} replicates {genesis.machine}, not the key-value store: use outvote call"
        )
    return machine


# ---- any class -------------------------------------------------------------------------------------------------


def call(settings: Settings, command: str, words: Sequence[str]) -> int:
    machine = load_machine(load_genesis(settings.cluster).machine)
    interface = describe(machine).command(command)
    strange = [word for word in words if word.startswith("--")]
    if strange and len(words) > len(interface.parameters):
        raise Mistake(f"{interface.signature()} takes {len(interface.parameters)} arguments, not {len(words)}, "
                      f"and there is no option {strange[0]}")  # fmt: skip
    interface.parse(words)  # says what is wrong with them
    values = [
        parse_value(word, parameter.type)
        for word, parameter in zip(words, interface.parameters, strict=False)
    ]
    answer = _call(settings, machine, command, values)
    if settings.as_json:
        _print_json(command=command, value=readable(answer.value), position=answer.position)
    elif isinstance(answer.value, str):
        print(answer.value)
    else:
        print(json.dumps(readable(answer.value), ensure_ascii=False))
    return endings.DONE


def list_commands(settings: Settings) -> int:
    genesis = load_genesis(settings.cluster)
    interface = describe(load_machine(genesis.machine))
    if settings.as_json:
        commands = [
            {"name": one.name, "kind": one.kind, "signature": one.signature(), "doc": one.doc}
            for one in interface.commands.values()
        ]
        _print_json(machine=genesis.machine, commands=commands)
    else:
        print("\n".join(_listing(genesis, interface)))
    return endings.DONE


def _listing(genesis: Genesis, interface: Interface) -> list[str]:
    lines = [f"{genesis.machine}, called as: outvote call COMMAND ARGUMENTS"]
    for one in interface.commands.values():
        lines += ["", f"  {one.signature()}" + ("    (changes nothing)" if one.query else "")]
        lines += [f"      {line.strip()}" for line in one.doc.strip().splitlines() if line.strip()]
    return lines


def readable(value: Any) -> Any:
    """A result as JSON values; a struct becomes an object whatever its wire form is."""
    if isinstance(value, msgspec.Struct):
        return {name: readable(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: readable(item) for name, item in zip(value._fields, value, strict=True)}
    if isinstance(value, (list, tuple)):
        return [readable(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((readable(item) for item in value), key=repr)
    if isinstance(value, dict):
        return {_key_text(key): readable(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return msgspec.to_builtins(value)


def _key_text(key: Any) -> str:
    plain = readable(key)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _print_json(**fields: Any) -> None:
    print(json.dumps(fields, ensure_ascii=False))


# ---- one call --------------------------------------------------------------------------------------------------


def _call(settings: Settings, machine: type[StateMachine], command: str, values: Sequence[Any]) -> Answer:
    if not 0 < settings.timeout_s <= _TIMEOUT_MAX_S:
        raise Mistake(f"--timeout must be more than 0 and at most {_TIMEOUT_MAX_S:.0f} seconds")
    describe(machine).encode(command, values)  # a wrong argument is told before anybody is asked
    with _proof(settings) as keep:
        answer = _run(settings, machine, lambda client: client.submit(command, *values))
        keep(answer.receipt)
    return answer


@contextmanager
def _proof(settings: Settings) -> Iterator[Callable[[Receipt | None], None]]:
    """Keeps a receipt if one is wanted."""
    if settings.receipt is None:
        yield lambda _receipt: None
        return
    proof = _Proof(settings.receipt)
    try:
        yield proof.keep
    finally:
        proof.discard()


def _run(
    settings: Settings, machine: type[StateMachine], act: Callable[[Client], Coroutine[Any, Any, T]],
    alone: bool = False,
) -> T:
    return asyncio.run(_connected(settings, machine, act, alone))


async def _connected(
    settings: Settings, machine: type[StateMachine], act: Callable[[Client], Coroutine[Any, Any, T]], alone: bool
) -> T:
    genesis = load_genesis(settings.cluster)
    keys = load_client_keys(settings.cluster, _client_name(settings, genesis), genesis)
    timeout_ns = int(settings.timeout_s * SECOND)
    with _alone(keys.directory, settings.timeout_s):
        config = SessionConfig(first_number=time.time_ns() // 1000, timeout_ns=timeout_ns)
        async with await Client.connect(genesis, None, machine, keys=keys, config=config, alone=alone) as client:
            return await act(client)


def _client_name(settings: Settings, genesis: Genesis) -> str | None:
    """None: the only one. Raises Mistake if there are several to choose from."""
    if settings.client is not None:
        return settings.client
    present = clients_present(settings.cluster, genesis)
    if len(present) > 1:
        raise Mistake(
            f"{settings.cluster} holds the keys of the clients {', '.join(present)}: choose one with --client"
        )
    return None


@contextmanager
def _alone(directory: Path, timeout_s: float) -> Iterator[None]:
    """Commands that run at the same time in one client's name take turns: a client identity belongs to one
    process at a time. Blocks; nothing else happens in this process."""
    path = directory / "lock"
    if not os.access(directory, os.W_OK):
        yield
        return
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            descriptor = lock(path)
            break
        except Mistake:
            if time.monotonic() >= deadline:
                raise NotEnoughReplicas(
                    f"another command has been using the keys in {directory} for {timeout_s:g} s: wait for it, "
                    "or use another client with --client", may_execute=False,
                ) from None  # fmt: skip
            time.sleep(_LOCK_RETRY_S)
    try:
        yield
    finally:
        os.close(descriptor)


class _Proof:
    """A receipt's file. Made before the operation is sent: afterwards it is too late to find out that it cannot be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if path.is_dir():
                raise Mistake(f"{path} is a directory: give --receipt the name of a file")
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        except OSError as error:
            raise Mistake(f"the receipt cannot be written to {path}: {error.strerror}") from None
        os.close(descriptor)
        self._temporary = Path(name)

    def keep(self, receipt: Receipt | None) -> None:
        if receipt is None:
            return
        try:
            self._temporary.write_bytes(receipt.to_json() + b"\n")
            self._temporary.replace(self._path)
        except OSError as error:
            raise Mistake(
                f"the operation was done, but its receipt could not be written to {self._path}: {error.strerror}"
            ) from None

    def discard(self) -> None:
        self._temporary.unlink(missing_ok=True)


# ---- receipts --------------------------------------------------------------------------------------------------


def verify(receipt: Path, cluster: Path, as_json: bool) -> int:
    """Whether f + 1 replicas of the cluster sealed this answer; asks nobody. Raises Mistake or Lie."""
    genesis = load_genesis(cluster)
    try:
        with receipt.open("rb") as file:
            text = file.read(RECEIPT_BYTES_MAX + 2)
    except OSError as error:
        raise Mistake(f"{receipt} cannot be read: {error.strerror}") from None
    proof = Receipt.from_json(text.rstrip(b"\n"))
    problem = ""
    try:
        proof.check(genesis)
    except Lie as lie:
        problem = str(lie)
    answer = proof.answer
    name = next(
        (one.name for one in genesis.clients if one.id == answer.client), f"#{answer.client - FIRST_CLIENT}"
    )
    results = [_outcome(outcome) for outcome in answer.results]
    replicas = [replica for replica, _ in proof.seals]
    if as_json:
        _print_json(
            valid=not problem, problem=problem or None, cluster=genesis.name, client=name, number=answer.number,
            position=answer.position, results=results, replicas=replicas,
        )  # fmt: skip
    elif not problem:
        print(f"valid: replicas {', '.join(map(str, replicas))} of {genesis.name} sealed the answer to request "
              f"{answer.number} of client {name}, executed at position {answer.position}:")  # fmt: skip
        for result in results:
            print(f"  {json.dumps(result, ensure_ascii=False)}")
    else:
        endings.complain(f"not valid: {problem}")
    return endings.NEGATIVE if problem else endings.DONE


def _outcome(outcome: bytes) -> Any:
    """What the receipt says was answered; of a forged one that may be anything."""
    try:
        return readable(decode_outcome(outcome, Any))
    except Refused as refused:
        return {"refused": str(refused)}
    except Lie:
        return {"unreadable": outcome.hex()}
