"""OpenAI, and every server with its protocol: the client, and the fault for each exception of the SDK."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import openai

from app.llm.faults import MAYBE_BILLED_STATUSES, FaultKind, ProviderFault, classify, describe
from app.llm.pricing import TokenCounts, read_counts
from app.llm.providers.endpoints import NO_KEY, Connection
from app.llm.providers.openai_chat import COUNTS, ChatCompletions
from app.llm.providers.openai_responses import Responses
from app.llm.providers.sdk import SdkAdapter, SdkParts
from app.llm.providers.transport import classify_transport
from app.llm.providers.wire import WireFormat
from app.llm.retry import parse_retry_after
from app.outbound.http import build_model_client
from app.settings import LLMSettings

# Every exception that the SDK exports. None: status, codes or cause decide. The nearest base class counts.
FAULT_OF: dict[type[Exception], FaultKind | None] = {
    openai.APIStatusError: None,
    openai.BadRequestError: None,
    openai.AuthenticationError: None,
    openai.OAuthError: FaultKind.AUTH,
    openai.PermissionDeniedError: None,
    openai.NotFoundError: None,
    openai.ConflictError: None,
    openai.UnprocessableEntityError: None,
    openai.RateLimitError: None,
    openai.InternalServerError: None,
    openai.APIConnectionError: None,
    openai.APITimeoutError: None,
    openai.APIResponseValidationError: FaultKind.BROKEN_ANSWER,
    openai.APIError: None,
    openai.LengthFinishReasonError: FaultKind.TRUNCATED,
    openai.ContentFilterFinishReasonError: FaultKind.REFUSED,
    openai.WebSocketConnectionClosedError: FaultKind.UNREACHABLE,
    openai.WebSocketQueueFullError: FaultKind.UNREACHABLE,
    openai.InvalidWebhookSignatureError: FaultKind.BAD_REQUEST,
    openai.OpenAIError: FaultKind.BAD_REQUEST,
}


def classify_openai(error: Exception) -> ProviderFault:
    """Classifies an exception of the SDK, or of the transport below it."""
    kind = next((FAULT_OF[base] for base in type(error).__mro__ if base in FAULT_OF), None)
    if kind is not None:
        return ProviderFault(kind, type(error).__name__, tokens=_tokens_of(error))
    if isinstance(error, openai.APIStatusError):
        codes = (error.code, error.type)
        return ProviderFault(
            classify(error.status_code, codes=codes, message=error.message),
            describe(error.status_code, codes),
            retry_after=parse_retry_after(error.response.headers, now=datetime.now(UTC)),
            maybe_billed=error.status_code in MAYBE_BILLED_STATUSES,
        )
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        if cause is None and isinstance(error, openai.APITimeoutError):
            return ProviderFault(FaultKind.TIMEOUT, type(error).__name__, maybe_billed=True)
        return classify_transport(cause)
    if isinstance(error, openai.APIError):
        codes = (error.code, error.type)
        return ProviderFault(classify(None, codes=codes), describe(None, codes), maybe_billed=True)
    return classify_transport(error)


def _tokens_of(error: Exception) -> TokenCounts | None:
    """Reads the usage from the exception of a cut-off answer, which was paid for."""
    if isinstance(error, openai.LengthFinishReasonError | openai.ContentFilterFinishReasonError):
        usage = error.completion.usage if error.completion is not None else None
        return read_counts(usage.to_dict(), COUNTS) if usage is not None else None
    return None


class FormatChoice:
    """The choice of the endpoint for a model: `responses_models` are patterns such as `*codex*`."""

    def __init__(self, responses_models: Collection[str]) -> None:
        self._patterns = tuple(responses_models)
        self._chat, self._responses = ChatCompletions(), Responses()

    def __call__(self, model: str) -> WireFormat:
        matches = any(fnmatchcase(model, pattern) for pattern in self._patterns)
        return self._responses if matches else self._chat


def build_openai(connection: Connection, settings: LLMSettings) -> SdkAdapter:
    """Builds the adapter on an HTTP client of its own, which closes with it."""
    http = build_model_client(openai.DefaultAioHttpClient, connection.timeouts)
    client = openai.AsyncOpenAI(
        api_key=NO_KEY,
        base_url=connection.url,
        max_retries=0,  # the SDK sleeps up to two minutes on a Retry-After inside the call; `app.llm.retry` decides
        timeout=http.timeout,
        http_client=http,
    )
    return SdkAdapter(
        SdkParts(
            client=client,
            connection=connection,
            errors=openai.OpenAIError,
            classify=classify_openai,
            choose_format=FormatChoice(settings.responses_models),
        )
    )
