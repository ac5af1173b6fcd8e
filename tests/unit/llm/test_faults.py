from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.errors import LLMAuthFailed, LLMModelNotFound, LLMQuotaExceeded, LLMRateLimited, LLMTimeout, LLMUnavailable
from app.llm.faults import (
    CONSEQUENCES,
    Action,
    FaultKind,
    ProviderFault,
    Verdict,
    choose_error,
    classify,
    describe,
    exceeds_limit_alone,
    uses_up_attempt,
)
from app.llm.vendor_error import VendorError

TOO_LARGE = (
    "Request too large for gpt-4.1 in organization org-1 on tokens per min (TPM): Limit 30000, Requested 40000. The "
    "input or output tokens must be reduced in order to run successfully."
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
    ("status", "codes", "message", "kind"),
    [
        (429, ("rate_limit_exceeded", "requests"), "", FaultKind.RATE_LIMITED),
        (429, ("insufficient_quota", "insufficient_quota"), "", FaultKind.QUOTA),
        (429, (None, "rate_limit_error"), "Your credit balance is too low", FaultKind.QUOTA),
        (429, ("rate_limit_exceeded", "tokens"), TOO_LARGE, FaultKind.CONTEXT_OVERFLOW),
        (413, ("rate_limit_exceeded", "tokens"), TOO_LARGE, FaultKind.CONTEXT_OVERFLOW),
        (429, ("rate_limit_error",), "Extra usage is required for long context requests.", FaultKind.CONTEXT_OVERFLOW),
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
        (404, ("not_found_error",), "model: claude-9", FaultKind.MODEL_NOT_FOUND),
        (None, ("not_found_error",), "model: claude-9", FaultKind.MODEL_NOT_FOUND),
        (404, ("not_found_error",), "Not Found", FaultKind.WRONG_ENDPOINT),
        (404, ("not_found_error",), "File Not Found", FaultKind.WRONG_ENDPOINT),
        (400, ("400", "no_db_connection"), "No connected db.", FaultKind.AUTH),
        (400, (), "The response was filtered due to Azure's content management policy.", FaultKind.REFUSED),
        (400, (), "This model's maximum context length is 8192 tokens.", FaultKind.CONTEXT_OVERFLOW),
        (401, (), "No auth credentials found", FaultKind.AUTH),
        (401, ("api_error",), "unauthorized", FaultKind.AUTH),
        (403, (), "Your organization has been flagged for suspicious activity.", FaultKind.AUTH),
        (403, (), "Content violates usage guidelines.", FaultKind.REFUSED),
        (429, ("RESOURCE_EXHAUSTED",), "You exceeded your current quota, per minute.", FaultKind.RATE_LIMITED),
        (429, (), "Too many tokens, please wait before trying again.", FaultKind.RATE_LIMITED),
        (524, (), "", FaultKind.TIMEOUT),
        (400, ("INVALID_ARGUMENT",), "API key not valid. Please pass a valid API key.", FaultKind.AUTH),
        (404, ("NOT_FOUND",), "models/gemini-9 is not found for API version v1main", FaultKind.MODEL_NOT_FOUND),
        (None, (), "Unexpected endpoint or method. (POST /chat/completions)", FaultKind.WRONG_ENDPOINT),
        (422, ("validation",), "`inputs` tokens + `max_new_tokens` must be <= 4096.", FaultKind.CONTEXT_OVERFLOW),
        (400, (), "input length and `max_tokens` exceed context limit: 9 + 9 > 9", FaultKind.CONTEXT_OVERFLOW),
        (429, ("429",), "", FaultKind.RATE_LIMITED),
        (429, ("tokens", "rate_limit_exceeded"), "Request too large for gpt-4.1", FaultKind.CONTEXT_OVERFLOW),
        (400, ("budget_exceeded",), "", FaultKind.QUOTA),
        (429, ("429", "budget_exceeded"), "", FaultKind.QUOTA),
        (401, ("auth_error",), "ExceededBudget: End User=x over budget. Spend=1, Budget=0.5", FaultKind.QUOTA),
        (None, ("BudgetExceededError",), "", FaultKind.QUOTA),
        (403, (), "You've reached your usage limit for this billing cycle.", FaultKind.QUOTA),
        (498, (), "", FaultKind.RATE_LIMITED),
        (498, ("capacity_exceeded", "server_error"), "Flex tier capacity exceeded", FaultKind.RATE_LIMITED),
        (424, (), "", FaultKind.SERVER),
        (424, ("generation",), "Request failed during generation", FaultKind.SERVER),
        (None, ("generation",), "Request failed during generation", FaultKind.SERVER),
        (None, ("incomplete_generation",), "", FaultKind.SERVER),
        (None, ("overloaded",), "Model is overloaded", FaultKind.RATE_LIMITED),
        (None, ("validation",), "Template error", FaultKind.BAD_REQUEST),
        (429, ("engine_overloaded",), "", FaultKind.RATE_LIMITED),
        (503, ("engine_overloaded",), "", FaultKind.SERVER),
        (500, ("some_rate_limit_service",), "", FaultKind.SERVER),
        (400, ("ThrottlingException",), "", FaultKind.RATE_LIMITED),
        (400, ("RequestExpired",), "", FaultKind.AUTH),
        (408, ("ModelTimeoutException",), "", FaultKind.TIMEOUT),
        (404, ("ResourceNotFoundException",), "", FaultKind.MODEL_NOT_FOUND),
        (400, ("InvalidEndpointOrModel.NotFound",), "", FaultKind.MODEL_NOT_FOUND),
        (400, ("tokens_too_long",), "", FaultKind.CONTEXT_OVERFLOW),
        (None, ("InvalidApiKey",), "", FaultKind.AUTH),
        (400, ("ResponsibleAIPolicyViolation",), "", FaultKind.REFUSED),
        (400, ("tool_use_failed", "invalid_request_error"), "tools and functions", FaultKind.INVALID),
        (400, ("json_validate_failed",), "response_format", FaultKind.INVALID),
        (None, ("output_parse_failed",), "", FaultKind.INVALID),
        (400, ("400",), 'GroqException - {"code": "tool_use_failed"}', FaultKind.INVALID),
        (500, ("api_error",), "error parsing tool call: raw='x'", FaultKind.INVALID),
        (500, ("server_error",), "maximum context length", FaultKind.SERVER),
    ],
)
def test_status_codes_and_prose_are_told_apart(
    status: int | None, codes: tuple[str | None, ...], message: str, kind: FaultKind
) -> None:
    present = tuple(code for code in codes if code is not None)
    assert classify(VendorError(status=status, codes=present, message=message)) is kind


@pytest.mark.parametrize(
    ("message", "never_fits"),
    [
        (TOO_LARGE, True),
        ("Request too large for model `llama-3.3` on tokens per minute (TPM): Limit 6,000, Requested 14,368", True),
        ("litellm.RateLimitError: OpenAIException - Request too large for gpt-5 in organization org-1", True),
        ("Rate limit reached for gpt-4.1 on tokens per min (TPM): Limit 30000, Used 0, Requested 30001.", True),
        ("Rate limit reached for gpt-4.1 on tokens per min (TPM): Limit 30000, Used 29937, Requested 385.", False),
        ("Rate limit reached for gpt-4.1 on requests per day (RPD): Limit 200, Used 200, Requested 1.", False),
        ("This request would exceed your organization's rate limit of 30,000 input tokens per minute.", False),
        ("Requests have exceeded the token rate limit of your current tier. Please retry after 26 seconds.", False),
        ("Too many tokens, please wait before trying again.", False),
        ("Limit ,, Requested ,,", False),
        pytest.param("Limit 1, Requested " + "9" * 5_000, False, id="no number"),
        ("", False),
    ],
)
def test_a_request_above_the_limit_of_a_minute_is_told_from_one_that_comes_too_early(
    message: str, never_fits: bool
) -> None:
    assert exceeds_limit_alone(message) is never_fits


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
