from __future__ import annotations

import itertools

import pytest

from app import errors
from app.errors import LLMAuthFailed, LLMModelNotFound, LLMQuotaExceeded, LLMRateLimited, LLMTimeout, LLMUnavailable
from app.llm.faults import (
    CONSEQUENCES,
    Action,
    FaultKind,
    ProviderFault,
    Verdict,
    choose_error,
    uses_up_attempt,
)


def test_every_kind_has_a_consequence() -> None:
    assert set(CONSEQUENCES) == set(FaultKind)


def test_every_error_of_the_tree_has_a_kind() -> None:
    assert {consequence.error for consequence in CONSEQUENCES.values()} == set(errors.LLMError.__subclasses__())


def test_only_errors_that_may_pass_are_tried_again() -> None:
    for kind, consequence in CONSEQUENCES.items():
        if consequence.action is Action.RETRY:
            assert consequence.error.retryable, kind
        if consequence.action is Action.FATAL:
            assert not consequence.error.retryable, kind


def test_only_an_ill_provider_counts_against_its_breaker() -> None:
    ill = {kind for kind, consequence in CONSEQUENCES.items() if consequence.verdict is Verdict.ILL}
    assert ill == {FaultKind.UNREACHABLE, FaultKind.SERVER, FaultKind.BROKEN_ANSWER, FaultKind.TIMEOUT}


@pytest.mark.parametrize(
    ("kinds", "error"),
    [
        ([FaultKind.RATE_LIMITED, FaultKind.RATE_LIMITED], LLMRateLimited),
        ([FaultKind.RATE_LIMITED, FaultKind.COOLING], LLMRateLimited),
        ([FaultKind.TIMEOUT, FaultKind.TIMEOUT], LLMTimeout),
        ([FaultKind.TIMEOUT, FaultKind.DEADLINE], LLMTimeout),
        ([FaultKind.TIMEOUT, FaultKind.RATE_LIMITED], LLMUnavailable),
        ([FaultKind.BREAKER_OPEN, FaultKind.SERVER], LLMUnavailable),
        ([FaultKind.AUTH, FaultKind.TIMEOUT], LLMTimeout),
        ([FaultKind.QUOTA, FaultKind.AUTH], LLMQuotaExceeded),
        ([FaultKind.MODEL_NOT_FOUND, FaultKind.AUTH], LLMModelNotFound),
        ([FaultKind.AUTH], LLMAuthFailed),
        ([], LLMUnavailable),
    ],
)
def test_the_error_of_a_chain_is_the_most_useful_one(kinds: list[FaultKind], error: type[errors.LLMError]) -> None:
    assert choose_error([ProviderFault(kind) for kind in kinds]) is error


@pytest.mark.parametrize(
    ("kinds", "uses_up"),
    [
        ([FaultKind.BREAKER_OPEN], False),
        ([FaultKind.COOLING, FaultKind.LIMITED, FaultKind.BREAKER_OPEN], False),
        ([FaultKind.RATE_LIMITED, FaultKind.BREAKER_OPEN], False),
        ([FaultKind.AUTH, FaultKind.BREAKER_OPEN], False),
        ([FaultKind.BREAKER_OPEN, FaultKind.CONTEXT_OVERFLOW], False),
        ([FaultKind.SERVER], True),
        ([FaultKind.TIMEOUT, FaultKind.BREAKER_OPEN], True),
        ([FaultKind.RATE_LIMITED, FaultKind.UNREACHABLE], True),
        ([FaultKind.DEADLINE], True),
    ],
)
def test_an_attempt_is_used_up_only_by_a_call_that_was_made_and_may_succeed_later(
    kinds: list[FaultKind], uses_up: bool
) -> None:
    assert uses_up_attempt([ProviderFault(kind) for kind in kinds]) is uses_up


def test_a_requested_wait_is_shortened_to_the_cap_and_never_made_up() -> None:
    for asked, kept in ((None, None), (0.0, 0.0), (59.0, 59.0), (86_400.0, 60.0)):
        fault = ProviderFault(FaultKind.RATE_LIMITED, retry_after=asked)
        fault.cap_retry_after(60.0)
        assert fault.retry_after == kept


def test_an_outage_of_any_hop_makes_the_task_come_back() -> None:
    permanent = [kind for kind, what in CONSEQUENCES.items() if not what.error.retryable]
    for first, second in itertools.product(permanent, permanent):
        assert not choose_error([ProviderFault(first), ProviderFault(second)]).retryable
        assert choose_error([ProviderFault(first), ProviderFault(FaultKind.SERVER)]).retryable
