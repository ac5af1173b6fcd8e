from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.faults import CONSEQUENCES, FaultKind
from app.llm.refusal_kinds import classify, exceeds_limit_alone
from app.llm.vendor_error import VendorError

TOO_LARGE = (
    "Request too large for gpt-4.1 in organization org-1 on tokens per min (TPM): Limit 30000, Requested 40000. The "
    "input or output tokens must be reduced in order to run successfully."
)


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
    ("status", "kind"),
    [
        (401, FaultKind.WRONG_ENDPOINT),
        (403, FaultKind.WRONG_ENDPOINT),
        (404, FaultKind.WRONG_ENDPOINT),
        (429, FaultKind.RATE_LIMITED),
        (502, FaultKind.SERVER),
        (524, FaultKind.TIMEOUT),
    ],
)
def test_a_page_in_place_of_a_refusal_is_about_the_address_not_the_key(status: int, kind: FaultKind) -> None:
    assert classify(VendorError(status=status, is_page=True)) is kind


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
