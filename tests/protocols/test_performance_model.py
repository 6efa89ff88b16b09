"""The model's arithmetic, against cases computed by hand."""

from __future__ import annotations

import pytest

from outvote.protocols.pbft.performance_model import (
    Costs,
    Deployment,
    Operation,
    Tally,
    error_percent,
    ordered,
    read_only,
    throughput_per_s,
)

NULL = Operation(0, 0)
SIGNED = Deployment(4, True, True, 2, 2)
UNSIGNED = SIGNED._replace(signatures=False)
# Each kind has a decimal place of its own, so a sum tells what was counted.
FREE = Costs(0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_what_is_signed_and_verified_for_one_operation() -> None:
    # docs/performance.md: 5 signatures (client, PRE-PREPARE, three PREPAREs) and 12 verifications, of which four are of
    # the client's, three of PRE-PREPARE, three of one PREPARE at a backup, two of PREPAREs at the primary.
    work = ordered(SIGNED, NULL).work()
    assert (work.signatures, work.verifications, work.macs, work.syncs) == (5, 12, 0, 8)


def test_authenticators_leave_the_clients_signature_alone() -> None:
    # Four MACs made by the client and three checked by backups; the primary opens the signature.
    work = ordered(UNSIGNED, NULL).work()
    assert (work.signatures, work.verifications, work.macs) == (1, 1, 7)


@pytest.mark.parametrize(("requests", "messages"), [(1, 24 + 5), (10, 24 + 50)])
def test_a_batch_costs_the_papers_messages_once_and_a_request_and_four_replies_for_each(
    requests: int, messages: int
) -> None:
    assert ordered(SIGNED, NULL, requests).work().ends == 2 * messages


def test_delays_are_2_4_and_5() -> None:
    one_message = FREE._replace(message_s=1)
    many_cores = 1000
    assert read_only(4, NULL).latency_s(one_message, many_cores) == 2
    assert ordered(SIGNED, NULL).latency_s(one_message, many_cores) == 4
    assert ordered(SIGNED._replace(tentative=False), NULL).latency_s(one_message, many_cores) == 5


def test_bytes_of_arguments_and_results() -> None:
    # 1000 to the primary and from it to each of three; a result from one replica, the others send its digest.
    assert ordered(SIGNED, Operation(1000, 0)).work().end_bytes == 2 * 4 * 1000
    # A large one goes from the client to all four, and PRE-PREPARE carries a digest.
    assert ordered(SIGNED, Operation(4096, 0)).work().end_bytes == 2 * 4 * 4096
    assert ordered(SIGNED, Operation(0, 4096)).work().end_bytes == 2 * 4096
    assert ordered(SIGNED, Operation(1000, 0)).path.end_bytes == 2 * 2 * 1000
    assert ordered(SIGNED, Operation(4096, 0)).path.end_bytes == 2 * 4096


def test_a_large_request_is_opened_by_its_signature_in_either_form() -> None:
    work = ordered(UNSIGNED, Operation(4096, 0)).work()
    assert (work.verifications, work.macs) == (4, 4)  # the client does not know, and makes all four MACs


def test_the_critical_path_with_every_cost() -> None:
    # Signatures: client, primary, one backup. Verifications: client's at the primary and at the backup, PRE-PREPARE,
    # one PREPARE. Digests: one of the client, two of the primary, two of the backup. Log: three times.
    costs = FREE._replace(signature_s=1000, verification_s=100, digest_s=10, sync_s=0.1, message_s=0.01)
    assert ordered(SIGNED, NULL).path.seconds(costs) == pytest.approx(3000 + 400 + 50 + 0.3 + 0.04)
    costs = FREE._replace(mac_s=1, mac_byte_s=0.001)
    assert ordered(UNSIGNED, Operation(10, 0)).path.seconds(costs) == pytest.approx(5 + 0.05)


def test_too_few_cores_make_latency_a_matter_of_all_work() -> None:
    one_message = FREE._replace(message_s=1)
    assert ordered(SIGNED, NULL).latency_s(one_message, 2) == 29 / 2
    assert read_only(4, NULL).latency_s(one_message, 2) == 8 / 2
    assert read_only(1, NULL).latency_s(one_message, 2) == 2


def test_throughput_is_what_the_scarcest_allows() -> None:
    one_message = FREE._replace(message_s=1)
    # Unbatched on two cores: 29 messages of work each.
    assert throughput_per_s(SIGNED, NULL, one_message, 64, 1) == pytest.approx(2 / 29)
    # With cores to spare: a path of 4 and two under way would allow 1 / 2, but the primary's 14 message ends take 7.
    assert throughput_per_s(SIGNED._replace(cores=1000), NULL, one_message, 64, 1) == pytest.approx(1 / 7)
    # A batch of 64: 24 + 64 * 5 messages.
    assert throughput_per_s(SIGNED, NULL, one_message, 64, 256) == pytest.approx(64 * 2 / 344)
    # One core a party, one signature an operation: nobody does more than the client, who signs 64; but the path has
    # all of the client's, the primary's and one backup's, and only one batch is under way.
    signing = FREE._replace(signature_s=1)
    assert throughput_per_s(SIGNED._replace(cores=1000), NULL, signing, 64, 256) == pytest.approx(64 / 66)


def test_a_tally_is_added_and_multiplied_kind_by_kind() -> None:
    one = Tally(*range(9))
    assert one.plus(one) == one.times(2) == Tally(*range(0, 18, 2))


def test_the_error_is_positive_where_the_model_is_too_high() -> None:
    assert error_percent(3, 2) == pytest.approx(50)
    assert error_percent(1, 2) == pytest.approx(-50)
