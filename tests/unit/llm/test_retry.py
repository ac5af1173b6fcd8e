from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.retry import (
    BACKOFF_CAP_SECONDS,
    backoff_seconds,
    delay_before_retry,
    parse_limit_reset,
    parse_retry_after,
    parse_should_retry,
)

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
        ({"retry-after": "20s"}, 20.0),
        ({"retry-after": "2026-11-20T12:00:30Z"}, 30.0),
        ({"retry-after": "1795176030"}, 30.0),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, now=NOW) == seconds


def of_openai(requests: tuple[str, str], tokens: tuple[str, str]) -> dict[str, str]:
    """Builds the headers of OpenAI, which Groq and others send too: what is left of each limit, and its reset."""
    return {
        "X-RateLimit-Limit-Requests": "60",
        "X-RateLimit-Remaining-Requests": requests[0],
        "X-RateLimit-Reset-Requests": requests[1],
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": tokens[0],
        "x-ratelimit-reset-tokens": tokens[1],
    }


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1s", 1.0),
        ("20ms", 0.02),
        ("6m0s", 360.0),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3_723.0),
        ("1d", 86_400.0),
        ("500us", 0.0005),
        ("33.25", 33.25),
        ("0", 0.0),
        ("2026-11-20T12:00:15Z", 15.0),
        ("2026-11-20T13:00:15+01:00", 15.0),
        ("2026-11-20T11:59:00Z", 0.0),
        ("1795176030", 30.0),
        ("1795176030000", 30.0),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("6m0", None),
        ("soon", None),
        ("-5", None),
        ("inf", None),
        ("", None),
        pytest.param("9" * 10_000 + "s", None, id="endless"),
    ],
)
def test_the_reset_of_a_limit_is_read_in_all_its_forms(reset: str, seconds: float | None) -> None:
    headers = of_openai(("59", "17ms"), ("0", reset))
    assert parse_limit_reset(headers, now=NOW) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (of_openai(("0", "1s"), ("149000", "6m0s")), 1.0),
        (of_openai(("59", "1s"), ("0", "6m0s")), 360.0),
        (of_openai(("0", "1s"), ("0", "6m0s")), 360.0),
        (of_openai(("59", "1s"), ("149000", "6m0s")), None),
        (of_openai(("0", "soon"), ("0", "6m0s")), 360.0),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-20T12:00:05Z",
                "anthropic-ratelimit-input-tokens-remaining": "8000",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-20T12:00:45Z",
            },
            5.0,
        ),
        (
            {
                "x-ratelimit-remaining-requests-day": "100",
                "x-ratelimit-reset-requests-day": "33011.38",
                "x-ratelimit-remaining-tokens-minute": "0",
                "x-ratelimit-reset-tokens-minute": "11.38",
            },
            11.38,
        ),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, 12.0),
        ({"X-Rate-Limit-Remaining": "-1", "X-Rate-Limit-Reset": "12"}, 12.0),
        ({"X-RateLimit-Reset": "1795176030000"}, 30.0),
        ({"X-RateLimit-Reset": "30", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "5s"}, 5.0),
        ({"x-ratelimit-remaining-tokens": "some", "x-ratelimit-reset-tokens": "5s"}, None),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
        ({"x-reset": "5s"}, None),
        ({}, None),
    ],
)
def test_the_limit_that_is_used_up_decides_on_the_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_limit_reset(headers, now=NOW) == seconds


@given(st.text(max_size=40))
def test_no_value_of_a_header_is_fatal(value: str) -> None:
    for wait in (
        parse_retry_after({"retry-after": value}, now=NOW),
        parse_limit_reset({"ratelimit-reset": value}, now=NOW),
    ):
        assert wait is None or 0 <= wait < float("inf")


@pytest.mark.parametrize(
    ("value", "word"), [("true", True), ("False", False), (" true ", True), ("1", None), ("", None), (None, None)]
)
def test_the_servers_word_on_a_retry_is_read(value: str | None, word: bool | None) -> None:
    assert parse_should_retry({} if value is None else {"x-should-retry": value}) is word
