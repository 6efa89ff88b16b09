"""`outvote up --rejuvenate`: every replica becomes another process in turn, and an overdue one is told of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from real_cluster import outvote, wait_until
from test_cli_supervisor import supervised

from outvote.cli.rejuvenate import new_note
from outvote.configuration.files import create_cluster
from outvote.configuration.genesis import ChannelKind, Form, Genesis
from outvote.core.rejuvenation import schedule
from outvote.host.connection import REFRESH_WITHIN_S
from outvote.types import SECOND

pytestmark = pytest.mark.processes


def test_every_replica_is_restarted_in_turn_and_the_cluster_goes_on(tmp_path: Path) -> None:
    with supervised(tmp_path, "--rejuvenate", "2", "--recovery-bound", "0.001") as running:
        running.await_said("serving at", 4)
        outvote("put", "kept", "yes", "--cluster", "c", cwd=tmp_path)
        running.await_said("replica 3 has recovered at position")
        lines = [line for line in running.said().splitlines() if "rejuvenated:" in line or "has recovered" in line]
        turns = [line.split(" ")[1] for line in lines[:8]]
        assert turns == ["0", "0", "1", "1", "2", "2", "3", "3"], "the next only when the one before has recovered"
        assert running.said().count("ALERT: replica 1 has not recovered within 0.001 s") >= 1, "no process is so fast"
        assert "ended (" not in running.said(), "a rejuvenation is no death"
        assert outvote("get", "kept", "--cluster", "c", cwd=tmp_path).stdout == "yes\n"
        told = json.loads(outvote("status", "--json", "--cluster", "c", cwd=tmp_path, code=None).stdout)
        assert told["rejuvenation"]["rejuvenated"] >= 4
        assert told["rejuvenation"]["alerts"] >= 4
        assert told["rejuvenation"]["window_s"] == told["rejuvenation"]["repair_s"] == 2.001
        assert "window of vulnerability: at most 1 may become faulty in any 2.001 s" in running.said()
        assert running.interrupt() == 0
    assert not (tmp_path / "c" / "rejuvenation.json").exists()


def test_a_recovery_that_takes_too_long_is_an_alert_and_the_next_waits(tmp_path: Path) -> None:
    with supervised(tmp_path, "--rejuvenate", "24", "--recovery-bound", "0.5") as running:
        running.await_said("serving at", 4)
        (tmp_path / "c" / "replica-0" / "signing.key").rename(tmp_path / "taken.key")
        running.await_said("ALERT: replica 0 has not recovered within 0.5 s of its rejuvenation")
        told = outvote("status", "--cluster", "c", cwd=tmp_path, code=1)
        assert "ALERT: replica 0 has not recovered" in told.stdout
        assert "3 of 4 replicas answer" in told.stdout
        assert "window of vulnerability: at most 1 may become faulty in any 24.5 s" in told.stdout
        running.await_said("replica 0 stays down")
        assert "replica 1 is rejuvenated" not in running.said()
        assert json.loads((tmp_path / "c" / "rejuvenation.json").read_text())["alerts"] == 1
        assert running.interrupt() == 0


def test_the_exit_code_of_status_is_good_again_once_it_has_recovered(tmp_path: Path) -> None:
    with supervised(tmp_path, "--rejuvenate", "4") as running:
        running.await_said("replica 0 has recovered")

        def good() -> bool:
            return outvote("status", "--cluster", "c", cwd=tmp_path, code=None).returncode == 0

        wait_until(good, "outvote status ends with 0")
        assert "ALERT" not in running.said()


def test_the_window_counts_twice_how_long_a_session_key_is_taken(tmp_path: Path) -> None:
    chosen = schedule(4, 100 * SECOND)
    with_keys = genesis_of(tmp_path / "a", form="authenticators")
    note = new_note(with_keys, chosen, 20.0)
    key_use_s = with_keys.session_key_seconds + REFRESH_WITHIN_S
    assert (note.faults, note.repair_s, note.key_use_s) == (1, 120.0, key_use_s)
    assert note.window_s == 2 * key_use_s + 120.0
    assert f"T_v = 2 T_k + T_r = 2 x {key_use_s:g} + 120" in note.window()
    assert new_note(genesis_of(tmp_path / "b", channel="plain"), chosen, 20.0).window_s == note.window_s
    assert new_note(genesis_of(tmp_path / "c"), chosen, 20.0).window_s == 120.0


def genesis_of(directory: Path, form: Form = "signatures", channel: ChannelKind = "tls") -> Genesis:
    return create_cluster(
        directory, name="c", machine="outvote:KeyValueStore", replicas=4,
        hosts=[f"127.0.0.1:{7000 + replica}" for replica in range(4)], clients=["c"], form=form, channel=channel,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--rejuvenate", "0"), "--rejuvenate is 0: give the seconds"),
        (("--rejuvenate", "5", "--recovery-bound", "0"), "--recovery-bound is 0: give the seconds"),
        (("--recovery-bound", "5"), "give --rejuvenate as well"),
        (("--rejuvenate", "5", "--replicas", "1"), "take 4 replicas"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    assert sentence in outvote("up", "c", *options, cwd=tmp_path, code=2).stderr
    assert not (tmp_path / "c").exists()
