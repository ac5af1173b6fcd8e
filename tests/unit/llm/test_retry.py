from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.retry import BACKOFF_CAP_SECONDS, backoff_seconds, delay_before_retry, parse_retry_after

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


@given(tries=st.integers(1, 10_000), base=st.floats(0.05, 5), seed=st.integers())
def test_backoff_stays_between_zero_and_its_ceiling(tries: int, base: float, seed: int) -> None:
    ceiling = min(BACKOFF_CAP_SECONDS, base * 2.0 ** min(tries - 1, 32))
    assert 0 <= backoff_seconds(tries, base_seconds=base, rng=random.Random(seed)) <= ceiling


def test_backoff_uses_the_whole_range() -> None:
    rng = random.Random(7)
    waits = [backoff_seconds(3, base_seconds=1, rng=rng) for _ in range(500)]
    assert min(waits) < 0.2
    assert max(waits) > 3.8


@given(
    backoff=st.floats(0, BACKOFF_CAP_SECONDS),
    retry_after=st.none() | st.floats(0, 1_000),
    remaining=st.floats(-10, 1_000),
)
def test_a_wait_honours_the_provider_and_ends_before_the_deadline(
    backoff: float, retry_after: float | None, remaining: float
) -> None:
    delay = delay_before_retry(backoff, retry_after=retry_after, remaining=remaining)
    if delay is not None:
        assert delay < remaining
        assert delay <= BACKOFF_CAP_SECONDS
        assert delay >= (retry_after or 0)


def test_a_long_retry_after_is_not_waited_for() -> None:
    assert delay_before_retry(0.1, retry_after=120, remaining=900) is None


def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    assert delay_before_retry(0.0, retry_after=3, remaining=2) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, now=NOW) == seconds
