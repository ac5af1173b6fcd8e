from __future__ import annotations

import importlib

import anthropic
import httpx2
import pytest

from app.llm.faults import FaultKind
from app.llm.providers.anthropic import FAULT_OF, classify_anthropic
from tests.unit.llm.providers.test_openai import exported_exceptions

REQUEST = httpx2.Request("POST", "http://test/v1/messages")


def test_every_exception_that_the_sdk_exports_is_mapped() -> None:
    assert exported_exceptions(anthropic) - set(FAULT_OF) == set()


def test_every_exception_inside_the_sdk_has_a_mapped_base() -> None:
    module = importlib.import_module("anthropic._exceptions")
    for error in exported_exceptions(module):
        assert any(base in FAULT_OF for base in error.__mro__), error


@pytest.mark.parametrize(
    ("kind", "status", "code", "message", "fault"),
    [
        (anthropic.BadRequestError, 400, "invalid_request_error", "secret", FaultKind.BAD_REQUEST),
        (anthropic.BadRequestError, 400, "invalid_request_error", "prompt is too long", FaultKind.CONTEXT_OVERFLOW),
        (anthropic.BadRequestError, 400, "invalid_request_error", "credit balance is too low", FaultKind.QUOTA),
        (anthropic.AuthenticationError, 401, "authentication_error", "secret", FaultKind.AUTH),
        (anthropic.PaymentRequiredError, 402, "billing_error", "secret", FaultKind.QUOTA),
        (anthropic.PermissionDeniedError, 403, "permission_error", "secret", FaultKind.AUTH),
        (anthropic.NotFoundError, 404, "not_found_error", "secret", FaultKind.MODEL_NOT_FOUND),
        (anthropic.RequestTimeoutError, 408, "timeout_error", "secret", FaultKind.TIMEOUT),
        (anthropic.ConflictError, 409, None, "secret", FaultKind.SERVER),
        (anthropic.ContentTooLargeError, 413, "request_too_large", "secret", FaultKind.CONTEXT_OVERFLOW),
        (anthropic.RateLimitError, 429, "rate_limit_error", "secret", FaultKind.RATE_LIMITED),
        (anthropic.ClientClosedRequestError, 499, None, "secret", FaultKind.UNREACHABLE),
        (anthropic.InternalServerError, 500, "api_error", "secret", FaultKind.SERVER),
        (anthropic.ServiceUnavailableError, 503, None, "secret", FaultKind.SERVER),
        (anthropic.GatewayTimeoutError, 504, None, "secret", FaultKind.SERVER),
        (anthropic.OverloadedError, 529, "overloaded_error", "secret", FaultKind.SERVER),
    ],
)
def test_an_error_answer_is_classified_by_status_type_and_text(
    kind: type[anthropic.APIStatusError], status: int, code: str | None, message: str, fault: FaultKind
) -> None:
    body = {"type": "error", "error": {"type": code, "message": message}}
    found = classify_anthropic(kind(message, response=httpx2.Response(status, request=REQUEST), body=body))
    assert found.kind is fault
    assert "secret" not in str(found)


@pytest.mark.parametrize("status", [504, 524])
def test_a_gateway_that_gave_up_waiting_leaves_the_cost_unknown(status: int) -> None:
    response = httpx2.Response(status, request=REQUEST)
    assert classify_anthropic(anthropic.InternalServerError("x", response=response, body=None)).maybe_billed


def test_a_broken_line_may_have_been_billed() -> None:
    error = anthropic.APIConnectionError(request=REQUEST)
    error.__cause__ = httpx2.ReadError("x")
    found = classify_anthropic(error)
    assert (found.kind, found.maybe_billed) == (FaultKind.UNREACHABLE, True)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (anthropic.APITimeoutError(request=REQUEST), FaultKind.TIMEOUT),
        (anthropic.APIError("secret", REQUEST, body=None), FaultKind.SERVER),
        (anthropic.CredentialsError("secret"), FaultKind.AUTH),
        (anthropic.RetryableError("secret"), FaultKind.SERVER),
        (anthropic.AnthropicError("secret"), FaultKind.BAD_REQUEST),
    ],
)
def test_errors_without_an_answer_are_told_apart(error: Exception, fault: FaultKind) -> None:
    found = classify_anthropic(error)
    assert found.kind is fault
    assert "secret" not in str(found)
