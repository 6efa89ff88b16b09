"""The numbers of a PBFT deployment: each refusal at its very bound, each default as it is documented."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from outvote.core.quorums import quorum
from outvote.errors import Mistake
from outvote.protocols.pbft.config import FRAME_BYTES_MAX, SEAL_ENTRY_BYTES, PbftConfig
from outvote.types import MILLISECOND

FIELDS = msgspec.structs.fields(PbftConfig)


def changed(**fields: Any) -> PbftConfig:
    return msgspec.structs.replace(PbftConfig(), **fields)


def test_the_defaults() -> None:
    assert msgspec.structs.asdict(PbftConfig()) == {
        "checkpoint_interval": 256,
        "window": 512,
        "batch_requests_max": 256,
        "batch_bytes_max": 512 * 1024,
        "pipeline": 2,
        "view_timeout_ns": 1000 * MILLISECOND,
        "view_timeout_growth_max": 16,
        "status_interval_ns": 200 * MILLISECOND,
        "idle_interval_ns": 2000 * MILLISECOND,
        "tentative": True,
        "time_tolerance_ns": 10_000 * MILLISECOND,
    }
    config = PbftConfig()
    assert config.validated(4) is config


@pytest.mark.parametrize("name", [field.name for field in FIELDS if field.type is int])
def test_every_number_is_at_least_1(name: str) -> None:
    for value in (0, -1):
        with pytest.raises(Mistake, match=f"{name} is {value}: it must be at least 1"):
            changed(**{name: value}).validated(4)


@pytest.mark.parametrize(
    "name", ["batch_requests_max", "pipeline", "view_timeout_ns", "view_timeout_growth_max", "status_interval_ns",
             "idle_interval_ns", "time_tolerance_ns"],
)  # fmt: skip
def test_1_is_enough_for_most(name: str) -> None:
    assert changed(**{name: 1}).validated(4)


@pytest.mark.parametrize(
    ("interval", "window", "fits"), [(1, 2, True), (1, 1, False), (4, 8, True), (4, 12, True), (4, 4, False),
                                     (4, 10, False), (4, 7, False)],
)  # fmt: skip
def test_the_window_is_a_multiple_of_the_interval_and_twice_as_large(interval: int, window: int, fits: bool) -> None:
    config = changed(checkpoint_interval=interval, window=window)
    if fits:
        assert config.validated(4)
        return
    with pytest.raises(Mistake, match=f"window is {window}: it must be a multiple of checkpoint_interval"):
        config.validated(4)


def test_a_batch_holds_one_largest_request_and_fits_half_a_frame() -> None:
    for size in (307200, 2097152):
        assert changed(batch_bytes_max=size).validated(4)
    for size in (307199, 2097153):
        with pytest.raises(Mistake, match="batch_bytes_max must lie between 307200"):
            changed(batch_bytes_max=size).validated(4)


def largest(n: int, window: int) -> int:
    """NEW-VIEW: a quorum of VIEW-CHANGEs, each with a certificate for every position, each of a quorum of seals."""
    seals = quorum(n) * SEAL_ENTRY_BYTES
    return quorum(n) * (window * (seals + 60) + seals)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 10, 16, 31, 64, 100])
def test_a_new_view_fits_a_frame(n: int) -> None:
    assert FRAME_BYTES_MAX == 4 * 1024 * 1024
    assert SEAL_ENTRY_BYTES == 70
    fitting = max(window for window in range(2, 20_000) if largest(n, window) <= FRAME_BYTES_MAX)
    assert changed(checkpoint_interval=1, window=fitting).validated(n)
    with pytest.raises(Mistake, match=f"may take {largest(n, fitting + 1)} bytes"):
        changed(checkpoint_interval=1, window=fitting + 1).validated(n)


@pytest.mark.parametrize(("n", "interval"), [(4, 256), (7, 256), (10, 256), (16, 128), (31, 64), (64, 8), (100, 4)])
def test_a_configuration_is_halved_until_it_fits(n: int, interval: int) -> None:
    fitted = PbftConfig().fitted(n)
    assert fitted.window == 2 * fitted.checkpoint_interval
    assert fitted.validated(n)
    halvings = [256 >> shift for shift in range(9)]
    expected = next(one for one in halvings if largest(n, 2 * one) <= FRAME_BYTES_MAX)
    assert fitted.checkpoint_interval == expected
    assert expected <= interval


def test_what_halving_cannot_mend_is_refused() -> None:
    for broken in (changed(pipeline=0), changed(checkpoint_interval=1, window=2, pipeline=0), changed(window=2)):
        with pytest.raises(Mistake):
            broken.fitted(4)


def test_the_reason_for_a_refusal_is_what_the_configuration_says() -> None:
    with pytest.raises(Mistake, match="pipeline is 0"):
        changed(checkpoint_interval=1, window=3, pipeline=0).fitted(4)


def test_a_wide_window_with_a_small_interval_is_brought_down_to_two_intervals() -> None:
    fitted = changed(checkpoint_interval=64, window=64 * 40).fitted(31)
    assert fitted.window == 2 * fitted.checkpoint_interval
