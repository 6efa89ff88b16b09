"""Three members of etcd on this machine, and its puts in a closed loop, for comparison with Raft here."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from cluster import free_port_block

MEMBERS: Final = 3
CONNECTIONS_MAX: Final = 8
WARM_UP_S: Final = 0.5
CLIENT: Final = Path(__file__).parent / "etcd_client"


def build_client(folder: Path) -> Path:
    """With Go, into this folder."""
    program = folder / "putter"
    subprocess.run([shutil.which("go") or "go", "build", "-o", str(program), "."], cwd=CLIENT, check=True)
    return program


def measured(etcd: str, client: Path, where: Path, seconds: float) -> dict[str, Any]:
    """One fresh cluster, its data below `where`; 64 and 1 puts of 100 bytes outstanding."""
    base = free_port_block(2 * MEMBERS)
    peers = ",".join(f"m{one}=http://127.0.0.1:{base + one}" for one in range(MEMBERS))
    endpoints = ",".join(f"127.0.0.1:{base + MEMBERS + one}" for one in range(MEMBERS))
    with tempfile.TemporaryDirectory(prefix="outvote-bench-etcd-", dir=where) as folder:
        members = [
            subprocess.Popen(
                [
                    etcd, "--name", f"m{one}", "--data-dir", f"{folder}/m{one}", "--initial-cluster", peers,
                    "--initial-cluster-token", "bench", "--initial-cluster-state", "new",
                    "--listen-peer-urls", f"http://127.0.0.1:{base + one}",
                    "--initial-advertise-peer-urls", f"http://127.0.0.1:{base + one}",
                    "--listen-client-urls", f"http://127.0.0.1:{base + MEMBERS + one}",
                    "--advertise-client-urls", f"http://127.0.0.1:{base + MEMBERS + one}",
                ],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for one in range(MEMBERS)
        ]  # fmt: skip
        try:
            _load(client, endpoints, 64, WARM_UP_S)
            before = _cpu_s(members)
            many = _load(client, endpoints, 64, seconds)
            cpu_us = 1e6 * (_cpu_s(members) - before) / (many["ops_per_s"] * seconds)
            one = _load(client, endpoints, 1, seconds / 2)
        finally:
            for member in members:
                member.terminate()
            for member in members:
                member.wait()
    return {"puts_per_s_at_64": many["ops_per_s"], "cpu_us_a_put_at_64": cpu_us, "p50_ms_at_1": one["p50_ms"]}


def _cpu_s(members: Sequence[subprocess.Popen[bytes]]) -> float:
    return sum(sum(psutil.Process(member.pid).cpu_times()[:2]) for member in members)


def _load(client: Path, endpoints: str, outstanding: int, seconds: float) -> dict[str, float]:
    said = subprocess.run(
        [
            str(client), "-endpoints", endpoints, "-outstanding", str(outstanding), "-seconds", str(seconds),
            "-connections", str(min(outstanding, CONNECTIONS_MAX)),
        ],
        capture_output=True, text=True, check=True, timeout=60 + seconds,
    )  # fmt: skip
    found: dict[str, float] = json.loads(said.stdout)
    return found
