from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.errors import LLMAuthFailed, LLMModelNotFound, LLMQuotaExceeded, LLMRateLimited, LLMTimeout, LLMUnavailable
from app.llm.faults import CONSEQUENCES, Action, FaultKind, ProviderFault, Verdict, choose_error, classify, describe
from app.llm.vendor_error import VendorError


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
    ("status", "codes", "message", "kind"),
    [
        (429, ("rate_limit_exceeded", "requests"), "", FaultKind.RATE_LIMITED),
        (429, ("insufficient_quota", "insufficient_quota"), "", FaultKind.QUOTA),
        (429, (None, "rate_limit_error"), "Your credit balance is too low", FaultKind.QUOTA),
        (400, ("context_length_exceeded", "invalid_request_error"), "", FaultKind.CONTEXT_OVERFLOW),
        (400, (None, "invalid_request_error"), "prompt is too long: 9 > 8", FaultKind.CONTEXT_OVERFLOW),
        (400, (None, "invalid_request_error"), "temperature is not supported", FaultKind.BAD_REQUEST),
        (400, ("content_filter",), "", FaultKind.REFUSED),
        (401, ("invalid_api_key",), "", FaultKind.AUTH),
        (402, (), "", FaultKind.QUOTA),
        (403, (None, None), "", FaultKind.AUTH),
        (404, (), "", FaultKind.WRONG_ENDPOINT),
        (403, ("model_not_found",), "", FaultKind.MODEL_NOT_FOUND),
        (408, (), "", FaultKind.TIMEOUT),
        (409, (), "", FaultKind.SERVER),
        (413, (), "", FaultKind.CONTEXT_OVERFLOW),
        (422, (), "", FaultKind.BAD_REQUEST),
        (500, (), "", FaultKind.SERVER),
        (529, ("overloaded_error",), "", FaultKind.SERVER),
        (599, (), "", FaultKind.SERVER),
        (None, (), "", FaultKind.SERVER),
        (None, ("rate_limit_exceeded",), "", FaultKind.RATE_LIMITED),
        (None, ("bio_policy",), "", FaultKind.REFUSED),
        (None, ("some_new_policy",), "", FaultKind.BAD_REQUEST),
        (400, ("400",), "Invalid model name passed in model=x.", FaultKind.MODEL_NOT_FOUND),
        (404, (), "model 'x' not found, try pulling it first", FaultKind.MODEL_NOT_FOUND),
        (404, (), "No endpoints found for x/y.", FaultKind.MODEL_NOT_FOUND),
        (400, (), "The response was filtered due to Azure's content management policy.", FaultKind.REFUSED),
        (400, (), "This model's maximum context length is 8192 tokens.", FaultKind.CONTEXT_OVERFLOW),
        (401, (), "No auth credentials found", FaultKind.AUTH),
        (429, ("429",), "", FaultKind.RATE_LIMITED),
        (429, ("tokens", "rate_limit_exceeded"), "Request too large for gpt-4.1", FaultKind.CONTEXT_OVERFLOW),
    ],
)
def test_status_codes_and_prose_are_told_apart(
    status: int | None, codes: tuple[str | None, ...], message: str, kind: FaultKind
) -> None:
    present = tuple(code for code in codes if code is not None)
    assert classify(VendorError(status=status, codes=present, message=message)) is kind


@given(status=st.integers(400, 599), code=st.text(max_size=40), message=st.text(max_size=80))
def test_any_answer_gets_some_kind(status: int, code: str, message: str) -> None:
    assert classify(VendorError(status=status, codes=(code,), message=message)) in CONSEQUENCES


def test_the_description_says_all_but_what_is_quoted_from_the_prompt() -> None:
    error = VendorError(
        status=400,
        codes=("unsupported_value", "400"),
        param="messages[0].role",
        message="Unsupported value: 'my secret prompt' in the first message",
        request_id="req_1",
    )
    told = describe(error, prompt=["Please keep my secret prompt to yourself."])
    assert told.startswith("400 unsupported_value param=messages[0].role: ")
    assert told.endswith("(request req_1)")
    assert "secret" not in told
    assert "in the first message" in told


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


def test_an_outage_of_any_hop_makes_the_task_come_back() -> None:
    permanent = [kind for kind, what in CONSEQUENCES.items() if not what.error.retryable]
    for first, second in itertools.product(permanent, permanent):
        assert not choose_error([ProviderFault(first), ProviderFault(second)]).retryable
        assert choose_error([ProviderFault(first), ProviderFault(FaultKind.SERVER)]).retryable
