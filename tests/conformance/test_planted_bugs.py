"""The tests are tested: every rule that can be turned off is missed by the simulator or by a script.

A rule that nothing misses is either untested or not needed; both are worth knowing. Known to be no bug: counting a
liar's second, other vote as well (it could have told each of two replicas one of them), and dropping the digest of a
COMMIT where the PREPAREs have fixed it already.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import planted_bugs
import pytest
import test_every_protocol
import test_pbft
import test_pbft_poisoned_checkpoints
import test_pbft_restart
import test_pbft_view_change_attacks
from planted_bugs import FOUND_BY_RUNS, Patch, PlantedBug

import outvote
from outvote.simulator.runs import run_seed

RUNS_MAX = 300  # the swarm has so many seeds to find a bug; the survey in planted_bugs.py tells how many it took


@pytest.mark.parametrize("bug", FOUND_BY_RUNS, ids=lambda bug: bug.name)
def test_the_swarm_finds_it(bug: PlantedBug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    for seed in range(bug.start, bug.start + RUNS_MAX):
        result = run_seed("pbft", seed)
        if not result.ok and result.violation.partition(":")[0] in bug.found_by:
            return
    pytest.fail(f"{RUNS_MAX} runs held with a bug planted")


def summaries_bind() -> None:
    test_every_protocol.lives_of.cache_clear()
    try:
        for seed in test_every_protocol.SEEDS:
            test_every_protocol.test_a_core_restored_from_its_summary_stands_where_it_stood("pbft", seed)
    finally:
        test_every_protocol.lives_of.cache_clear()


def bad_o() -> None:
    for lie in test_pbft_view_change_attacks.O_LIES:
        test_pbft_view_change_attacks.test_a_new_view_with_another_o_is_refused_and_the_next_view_keeps_what_was_decided(
            lie
        )


def bad_certificates() -> None:
    for lie in test_pbft_view_change_attacks.CERTIFICATE_LIES:
        test_pbft_view_change_attacks.test_a_view_change_with_an_unsound_certificate_counts_for_nothing(lie)


def spoilt_states() -> None:
    for seed in range(3):
        for liar in (0, 1):
            test_pbft_poisoned_checkpoints.test_a_spoilt_state_is_noticed_and_fetched_from_somebody_else(liar, seed)


FOUND_BY_SCRIPTS: tuple[tuple[Patch, Callable[[], None]], ...] = (
    (planted_bugs.lowest_view_chosen, test_pbft.test_4_5_1_later_evidence_wins_over_earlier),
    (planted_bugs.no_joining, test_pbft.test_4_5_2_f_plus_1_view_changes_for_higher_views_are_joined_at_the_smallest),
    (
        planted_bugs.view_timer_never_grows,
        test_pbft.test_4_5_2_while_changing_the_timer_starts_with_a_quorum_and_doubles_up_to_a_limit,
    ),
    (
        planted_bugs.required_batches_not_fetched,
        test_pbft.test_4_4_what_the_new_primary_lacks_it_fetches_and_then_proposes,
    ),
    (planted_bugs.proposals_of_new_view_believed, bad_o),
    (planted_bugs.proposal_before_o, test_pbft.test_4_4_a_backup_enters_and_is_bound_by_o),
    (planted_bugs.claims_unchecked, bad_certificates),
    (planted_bugs.repeated_signers_accepted, bad_certificates),
    (planted_bugs.parts_unverified, spoilt_states),
    (planted_bugs.manifest_unverified, spoilt_states),
    (planted_bugs.summary_without_accepted, summaries_bind),
    (planted_bugs.summary_without_prepared, summaries_bind),
    (planted_bugs.summary_without_entered, summaries_bind),
    (planted_bugs.summary_without_certified, summaries_bind),
    (
        planted_bugs.summary_forgets_open_proposals,
        test_pbft_restart.test_a_proposal_not_yet_heard_back_is_in_the_summary,
    ),
    (planted_bugs.restart_without_the_batch, test_pbft_restart.test_a_decision_without_its_batch_is_asked_for_again),
)


@pytest.mark.parametrize(("plant", "script"), FOUND_BY_SCRIPTS, ids=lambda value: value.__name__)
def test_a_script_finds_it(plant: Patch, script: Callable[[], None]) -> None:
    """The script holds as things are, and fails once the bug is planted: by an assertion, or a broken invariant."""
    script()
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        with pytest.raises(Exception):  # noqa: B017 - an AssertionError, a Violation, or the bug's own
            script()


SET_ORDER = """
from outvote.machines.executor import Executor
from outvote.simulator.runs import run_seed
import msgspec
deliver = Executor.deliver

def in_set_order(executor, delivery):
    requests = tuple({(one.operations, one): one for one in delivery.requests}[key]
                     for key in {(one.operations, one) for one in delivery.requests})
    return deliver(executor, msgspec.structs.replace(delivery, requests=requests))

Executor.deliver = in_set_order
print(*(run_seed("pbft", seed).digest for seed in range(12)))
"""


def test_different_hash_seeds_find_a_batch_that_is_executed_in_the_order_of_a_set() -> None:
    told = set()
    for hash_seed in ("1", "2", "3"):
        environment = {
            **os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(outvote.__file__).parent.parent)
        }
        ran = subprocess.run(
            [sys.executable, "-c", SET_ORDER], env=environment, capture_output=True, text=True, check=True
        )
        told.add(ran.stdout)
    assert len(told) > 1
