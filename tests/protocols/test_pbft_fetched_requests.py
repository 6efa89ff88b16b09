"""What a fetched state has executed is not waited for: nobody is suspected for not proposing it again."""

from __future__ import annotations

from pbft_pieces import CONFIG, core, request, said

from outvote.protocols.pbft.messages import ViewChange


def test_a_backup_does_not_suspect_a_primary_for_what_a_fetched_state_has_executed() -> None:
    """It would leave the view alone, and with f others silent stop it."""
    backup = core(2)
    backup.submit([request(1), request(2)])
    backup.forget([request(1).key])
    backup.transferred(4, b"s" * 32)
    assert backup.standing().waiting == 1, "the other one still waits"
    backup.forget(backup.waiting())
    backup.transferred(4, b"s" * 32)
    backup.out.clear()
    for _ in range(20):
        backup.now = backup.wake_at
        backup.wake()
        assert not said(backup, ViewChange)
    assert backup.now > 2 * CONFIG.view_timeout_ns
    assert backup.standing().view == 0
