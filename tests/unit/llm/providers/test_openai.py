from __future__ import annotations

import importlib
from types import ModuleType

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion

from app.llm.faults import FaultKind
from app.llm.pricing import TokenCounts
from app.llm.providers.openai import FAULT_OF, FormatChoice, classify_openai
from app.llm.providers.openai_chat import ChatCompletions
from app.llm.providers.openai_responses import Responses
from app.settings import LLMSettings

REQUEST = httpx2.Request("POST", "http://test/v1/chat/completions")


def exported_exceptions(package: ModuleType) -> set[type[Exception]]:
    """Lists the public exception classes of a module. By name, because the SDKs load some of themselves on access."""
    items: list[object] = [getattr(package, name) for name in dir(package) if not name.startswith("_")]
    return {item for item in items if isinstance(item, type) and issubclass(item, Exception)}


def test_every_exception_that_the_sdk_exports_is_mapped() -> None:
    assert exported_exceptions(openai) - set(FAULT_OF) == set()


def test_every_exception_inside_the_sdk_has_a_mapped_base() -> None:
    """Checks that errors of unused features (agents, websockets, webhooks) fall under the SDK's root."""
    module = importlib.import_module("openai._exceptions")
    for error in exported_exceptions(module):
        assert any(base in FAULT_OF for base in error.__mro__), error


def status_error(
    kind: type[openai.APIStatusError], status: int, body: object, headers: dict[str, str] | None = None
) -> openai.APIStatusError:
    response = httpx2.Response(status, headers=headers, request=REQUEST)
    return kind("Error: my secret prompt sk-secret", response=response, body=body)


@pytest.mark.parametrize(
    ("kind", "status", "code", "fault"),
    [
        (openai.BadRequestError, 400, "invalid_value", FaultKind.BAD_REQUEST),
        (openai.BadRequestError, 400, "context_length_exceeded", FaultKind.CONTEXT_OVERFLOW),
        (openai.BadRequestError, 400, "content_filter", FaultKind.REFUSED),
        (openai.AuthenticationError, 401, "invalid_api_key", FaultKind.AUTH),
        (openai.PermissionDeniedError, 403, None, FaultKind.AUTH),
        (openai.NotFoundError, 404, "model_not_found", FaultKind.MODEL_NOT_FOUND),
        (openai.ConflictError, 409, None, FaultKind.SERVER),
        (openai.UnprocessableEntityError, 422, None, FaultKind.BAD_REQUEST),
        (openai.RateLimitError, 429, "rate_limit_exceeded", FaultKind.RATE_LIMITED),
        (openai.RateLimitError, 429, "insufficient_quota", FaultKind.QUOTA),
        (openai.InternalServerError, 503, None, FaultKind.SERVER),
        (openai.APIStatusError, 418, None, FaultKind.BAD_REQUEST),
    ],
)
def test_an_error_answer_is_classified_by_status_and_code(
    kind: type[openai.APIStatusError], status: int, code: str | None, fault: FaultKind
) -> None:
    found = classify_openai(status_error(kind, status, {"code": code, "type": None, "message": "secret"}))
    assert found.kind is fault
    assert "secret" not in str(found)
    assert not found.maybe_billed


@pytest.mark.parametrize("status", [504, 524])
def test_a_gateway_that_gave_up_waiting_leaves_the_cost_unknown(status: int) -> None:
    assert classify_openai(status_error(openai.InternalServerError, status, {})).maybe_billed


def test_retry_after_is_kept() -> None:
    error = status_error(openai.RateLimitError, 429, {}, {"retry-after": "7"})
    assert classify_openai(error).retry_after == 7


@pytest.mark.parametrize(
    ("cause", "fault", "maybe_billed"),
    [
        (httpx2.ConnectError("x"), FaultKind.UNREACHABLE, False),
        (httpx2.ConnectTimeout("x"), FaultKind.TIMEOUT, False),
        (httpx2.PoolTimeout("x"), FaultKind.TIMEOUT, False),
        (httpx2.ReadTimeout("x"), FaultKind.TIMEOUT, True),
        (httpx2.WriteTimeout("x"), FaultKind.TIMEOUT, True),
        (httpx2.ReadError("x"), FaultKind.UNREACHABLE, True),
        (httpx2.WriteError("x"), FaultKind.UNREACHABLE, True),
        (httpx2.RemoteProtocolError("x"), FaultKind.UNREACHABLE, True),
        (httpx2.LocalProtocolError("x"), FaultKind.BAD_REQUEST, False),
        (httpx2.UnsupportedProtocol("x"), FaultKind.BAD_REQUEST, False),
        (httpx2.ProxyError("x"), FaultKind.UNREACHABLE, True),
        (httpx2.DecodingError("x"), FaultKind.BROKEN_ANSWER, True),
        (httpx2.StreamClosed(), FaultKind.UNREACHABLE, True),
    ],
)
def test_a_failure_below_http_means_the_same_alone_and_inside_the_sdk(
    cause: Exception, fault: FaultKind, maybe_billed: bool
) -> None:
    wrapped = openai.APIConnectionError(request=REQUEST)
    wrapped.__cause__ = cause
    for error in (cause, wrapped):
        found = classify_openai(error)
        assert (found.kind, found.maybe_billed) == (fault, maybe_billed)


def test_every_transport_error_has_a_kind() -> None:
    for error in exported_exceptions(httpx2):
        if issubclass(error, httpx2.TransportError):
            assert classify_openai(error("x")).kind in FaultKind


def test_a_timeout_without_cause_may_have_been_billed() -> None:
    found = classify_openai(openai.APITimeoutError(request=REQUEST))
    assert (found.kind, found.maybe_billed) == (FaultKind.TIMEOUT, True)


def test_an_error_inside_a_stream_is_the_servers() -> None:
    found = classify_openai(openai.APIError("secret", REQUEST, body={"code": "server_error"}))
    assert (found.kind, found.maybe_billed, str(found)) == (FaultKind.SERVER, True, "server server_error")


def test_the_usage_of_a_length_error_is_kept() -> None:
    completion = ChatCompletion.model_validate(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4.1",
            "choices": [],
            "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }
    )
    found = classify_openai(openai.LengthFinishReasonError(completion=completion))
    assert (found.kind, found.tokens) == (FaultKind.TRUNCATED, TokenCounts(input=100, output=50))
    assert classify_openai(openai.ContentFilterFinishReasonError()).tokens is None


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4.1-mini", ChatCompletions),
        ("sim-ok", ChatCompletions),
        ("gpt-5.4", ChatCompletions),
        ("gpt-6.1-terra", Responses),
        ("gpt-5.3-codex", Responses),
        ("gpt-5.5-pro", Responses),
        ("gpt-5.5-pro-2026-04-23", Responses),
    ],
)
def test_models_that_answer_over_responses_are_a_setting(model: str, expected: type) -> None:
    assert isinstance(FormatChoice(LLMSettings().responses_models)(model), expected)
