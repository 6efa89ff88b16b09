"""`outvote init` and `outvote run`: the files of a cluster, and one of its replicas."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from outvote.cli import endings
from outvote.cli.cautions import PLAIN_WARNING
from outvote.configuration.files import (
    CLUSTER_FILE,
    ThresholdKeys,
    client_directory,
    create_cluster,
    load_offers,
    replica_directory,
)
from outvote.configuration.genesis import Genesis, Parameters, channel_named, entry_name, form_named
from outvote.configuration.machine_class import load_machine
from outvote.configuration.offers import Offer
from outvote.core.committee import Committee
from outvote.core.quorums import REPLICAS_MAX
from outvote.errors import Mistake
from outvote.protocols.catalogue import Protocol
from outvote.protocols.catalogue import protocol as protocol_named
from outvote.protocols.honeybadger.foundation import GENERATING_MAX

DEFAULT_MACHINE: Final = "outvote.machines.key_value:KeyValueStore"
DEFAULT_REPLICAS: Final = 4


def init_cluster(
    directory: Path,
    *,
    replicas: int | None,
    hosts: str | None,
    machine: str,
    clients: Sequence[str],
    base_port: int,
    name: str | None,
    protocol: str,
    settings: Sequence[str],
    form: str = "signatures",
    channel: str = "tls",
    threshold_keys: str | None = None,
    offers: Sequence[Path] = (),
) -> int:
    """Make the files and print who gets which. Raises Mistake."""
    listed = [host.strip() for host in hosts.split(",")] if hosts is not None else None
    if offers:
        if listed is not None or replicas is not None:
            raise Mistake("the offers say how many replicas there are, and where: leave --hosts and --replicas away")
        replicas = len(offers)
    genesis = create(
        directory,
        machine=machine,
        replicas=replicas if replicas is not None else len(listed) if listed else default_replicas(protocol, form),
        hosts=listed,
        base_port=base_port,
        clients=clients,
        name=name,
        protocol=protocol,
        parameters=parameters_from(settings, protocol),
        flags=flags_from(settings, protocol),
        form=form,
        channel=channel,
        threshold_keys=threshold_keys,
        offers=load_offers(offers),
    )
    print("\n".join(_next_steps(directory, genesis)))
    return endings.DONE


def create(
    directory: Path,
    *,
    machine: str,
    replicas: int,
    hosts: Sequence[str] | None = None,
    base_port: int = 7000,
    clients: Sequence[str] = ("default",),
    name: str | None = None,
    protocol: str = "pbft",
    parameters: Parameters | None = None,
    form: str = "signatures",
    channel: str = "tls",
    flags: Mapping[str, int] | None = None,
    threshold_keys: str | None = None,
    offers: Sequence[Offer] = (),
) -> Genesis:
    """`create_cluster` after a look at the names that only this level can look up. Raises Mistake."""
    load_machine(machine)
    entry = protocol_named(entry_name(protocol, form))
    keys = threshold_keys_named(threshold_keys, entry, offers)
    if keys == "generated" and replicas > GENERATING_MAX:
        raise Mistake(f"replicas make threshold keys together up to {GENERATING_MAX} of them, not {replicas}")
    return create_cluster(
        directory,
        name=name if name is not None else _name_from(directory),
        machine=machine,
        replicas=replicas,
        hosts=hosts,
        base_port=base_port,
        clients=clients,
        protocol=protocol,
        parameters=fitted(parameters or Parameters(), entry),
        form=form_named(form),
        channel=channel_named(channel),
        tolerates=entry.tolerates,
        flags=flags,
        threshold_keys=keys,
        offers=offers,
    )


def threshold_keys_named(wanted: str | None, entry: Protocol, offers: Sequence[Offer] = ()) -> ThresholdKeys:
    """How they come to be; none where the protocol has none. Raises Mistake for what cannot be."""
    if not entry.deals:
        if wanted is not None:
            raise Mistake(f"{entry.name} has no threshold keys: leave --threshold-keys away")
        return "none"
    if wanted not in (None, "dealt", "generated"):
        raise Mistake(f"there are no threshold keys {wanted!r}: choose dealt or generated")
    if not offers:
        return "generated" if wanted == "generated" else "dealt"
    lacking = [one.entry.id for one in offers if not one.registration]
    if wanted == "dealt" or lacking:
        raise Mistake(
            f"replicas that make their own keys make the threshold keys together: "
            f"{'leave --threshold-keys away' if wanted == 'dealt' else f'replica {lacking[0]} has registered for none'}"
        )
    return "generated"


def fitted(parameters: Parameters, entry: Protocol) -> Parameters:
    """Without what the protocol does not do, so that clients do not wait for it."""
    return msgspec.structs.replace(parameters, **dict.fromkeys(entry.lacks, False))


def parameters_from(settings: Sequence[str], protocol: str = "pbft") -> Parameters:
    """From words like view_timeout_ms=500, but for the protocol's own. Raises Mistake."""
    values = _values(settings, protocol)
    own = protocol_named(protocol).flags
    shared = {name: value for name, value in values.items() if name not in own}
    return msgspec.convert(shared, Parameters, strict=False)  # 0 and 1 for what is on or off


def flags_from(settings: Sequence[str], protocol: str) -> dict[str, int]:
    """The rest of them. Raises Mistake."""
    own = protocol_named(protocol).flags
    flags = {name: value for name, value in _values(settings, protocol).items() if name in own}
    if flags:
        protocol_named(protocol).make(0, Committee(REPLICAS_MAX, protocol_named(protocol).tolerates), flags)
    return flags


def _values(settings: Sequence[str], protocol: str) -> dict[str, int]:
    values: dict[str, int] = {}
    known = (*Parameters.__struct_fields__, *protocol_named(protocol).flags)
    for text in settings:
        name, _, value = text.partition("=")
        if name not in known:
            raise Mistake(f"--set {text}: there is no parameter {name!r}; there are {', '.join(known)}")
        if not re.fullmatch(r"[0-9]{1,12}", value):
            raise Mistake(f"--set {text}: write it as {name}=NUMBER")
        values[name] = int(value)
    return values


def default_replicas(protocol: str, form: str = "signatures") -> int:
    """The fewest that survive one fault. Raises Mistake for a name that is none."""
    return DEFAULT_REPLICAS if protocol_named(entry_name(protocol, form)).byzantine else 3


def promise(genesis: Genesis) -> str:
    """What the cluster is, and how many liars it bears."""
    count, liars = genesis.n, genesis.committee().faults
    if genesis.tolerates == "crashes":
        return (
            f"{count} replica{'s' * (count > 1)} of {genesis.machine} on {genesis.protocol}, going on while at most "
            f"{liars} of them {'is' if liars == 1 else 'are'} down, and not one lies"
        )
    bears = (
        f"right while at most {liars} of them {'lies' if liars == 1 else 'lie'}"
        if liars
        else "bearing no liar"
    )
    return f"{count} replica{'s' * (count > 1)} of {genesis.machine}, {bears}"


def _name_from(directory: Path) -> str:
    """A cluster's name from its directory's; always one that the genesis accepts."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", directory.resolve().name).lstrip("._-")[:48]
    return cleaned or "cluster"


def _next_steps(directory: Path, genesis: Genesis) -> list[str]:
    where = shlex.quote(str(directory))
    lines = [
        f"cluster {genesis.name}: {promise(genesis)}",
        f"public, for everybody: {directory / CLUSTER_FILE}",
    ]
    if genesis.channel == "plain":
        lines.append(PLAIN_WARNING)
    threshold = genesis.threshold
    if threshold is not None:
        lines.append(
            "threshold keys: the replicas make them together when they first run" if threshold.registrations
            else "threshold keys: dealt here, so who reads this directory now can decrypt everything; with"
            " --threshold-keys generated the replicas make them together"
        )  # fmt: skip
    folders: dict[str, list[int]] = {}
    for replica in genesis.replicas:
        folders.setdefault(replica.host, []).append(replica.id)
    local = list(folders) == ["127.0.0.1"] or list(folders) == ["localhost"]
    if local:
        lines += ["", "All replicas are on this machine. Run the whole cluster:", f"  outvote up {where}"]
        lines += ["or each replica in a terminal of its own:"]
        lines += [f"  outvote run {where} --replica {replica.id}" for replica in genesis.replicas]
    else:
        for host, numbers in folders.items():
            private = [replica_directory(directory, number) for number in numbers]
            names = ", ".join(f"{folder.name}/" for folder in private)
            copy = f"copy {CLUSTER_FILE} and {names} into one directory"
            if not any(folder.is_dir() for folder in private):
                copy = f"copy {CLUSTER_FILE} into the directory that holds {names}"
            lines += ["", f"{host}: {copy}, then there:"]
            lines += [f"  outvote run DIRECTORY --replica {number}" for number in numbers]
    folders_of_clients = ", ".join(f"{client_directory(directory, c.name).name}/" for c in genesis.clients)
    lines += [
        "",
        f"clients: {CLUSTER_FILE} and {folders_of_clients or 'none were made'}; then, for example:",
        f"  outvote status --cluster {where}",
    ]
    if len(folders) > 1:
        lines += [
            "",
            "Every replica-N/ and client-NAME/ holds private keys: move each to its host and keep no copy here.",
        ]
    return lines
