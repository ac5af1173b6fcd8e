"""Anthropic: the client, and the fault for each exception of the SDK."""

from __future__ import annotations

from datetime import UTC, datetime

import anthropic

from app.llm.faults import MAYBE_BILLED_STATUSES, FaultKind, ProviderFault, classify, describe
from app.llm.providers.anthropic_messages import Messages
from app.llm.providers.endpoints import NO_KEY, Connection
from app.llm.providers.sdk import SdkAdapter, SdkParts
from app.llm.providers.transport import classify_transport
from app.llm.providers.wire import WireFormat
from app.llm.retry import parse_retry_after
from app.outbound.http import build_model_client
from app.settings import LLMSettings

_MESSAGES = Messages()

# Every exception that the SDK exports. None: status, codes or cause decide. The nearest base class counts.
FAULT_OF: dict[type[Exception], FaultKind | None] = {
    anthropic.APIStatusError: None,
    anthropic.BadRequestError: None,
    anthropic.AuthenticationError: None,
    anthropic.PaymentRequiredError: None,
    anthropic.PermissionDeniedError: None,
    anthropic.NotFoundError: None,
    anthropic.RequestTimeoutError: None,
    anthropic.ConflictError: None,
    anthropic.PreconditionFailedError: None,
    anthropic.ContentTooLargeError: None,
    anthropic.UnprocessableEntityError: None,
    anthropic.RateLimitError: None,
    anthropic.RequestHeaderFieldsTooLargeError: None,
    anthropic.ClientClosedRequestError: FaultKind.UNREACHABLE,
    anthropic.InternalServerError: None,
    anthropic.HTTPNotImplementedError: None,
    anthropic.ServiceUnavailableError: None,
    anthropic.GatewayTimeoutError: None,
    anthropic.OverloadedError: None,
    # A spent limit comes as a 429, and waiting does not help.
    anthropic.ContractSpendLimitReachedError: FaultKind.QUOTA,
    anthropic.EnforcedSpendLimitReachedError: FaultKind.QUOTA,
    anthropic.LinkedOrganizationSpendLimitReachedError: FaultKind.QUOTA,
    anthropic.LinkedOrganizationBillingUnavailableError: FaultKind.QUOTA,
    anthropic.RampLimitExceededError: None,
    # An account without permission comes as a 400, and another provider may answer.
    anthropic.OrganizationOnHoldError: FaultKind.AUTH,
    anthropic.OrganizationTypeNotSupportedError: FaultKind.AUTH,
    anthropic.ParentOrganizationRequiredError: FaultKind.AUTH,
    anthropic.ClaudeCodeKeyCreatorNotMemberError: FaultKind.AUTH,
    anthropic.ClaudeCodeVersionTooOldError: FaultKind.AUTH,
    anthropic.SandboxEgressRestrictedError: FaultKind.AUTH,
    anthropic.CMEKKeyDisabledError: FaultKind.AUTH,
    anthropic.CMEKKeyNetworkBlockedError: FaultKind.AUTH,
    anthropic.CMEKKeyUnreachableError: None,
    anthropic.CMEKContextUnavailableError: None,
    anthropic.RequestBodyEncodingInvalidError: FaultKind.BAD_REQUEST,
    anthropic.RequestBodyEncodingUnsupportedError: FaultKind.BAD_REQUEST,
    anthropic.RequestBodyTooLargeAfterDecodingError: None,
    anthropic.APIConnectionError: None,
    anthropic.APITimeoutError: None,
    anthropic.APIResponseValidationError: FaultKind.BROKEN_ANSWER,
    anthropic.APIWebhookValidationError: FaultKind.BAD_REQUEST,
    anthropic.APIError: None,
    anthropic.RetryableError: FaultKind.SERVER,
    anthropic.WorkloadIdentityError: FaultKind.AUTH,
    anthropic.CredentialsError: FaultKind.AUTH,
    anthropic.IdentityTokenFileError: FaultKind.AUTH,
    anthropic.AnthropicError: FaultKind.BAD_REQUEST,
}


def classify_anthropic(error: Exception) -> ProviderFault:
    """Classifies an exception of the SDK, or of the transport below it."""
    kind = next((FAULT_OF[base] for base in type(error).__mro__ if base in FAULT_OF), None)
    if kind is not None:
        return ProviderFault(kind, type(error).__name__)
    if isinstance(error, anthropic.APIStatusError):
        codes = (error.error_code, error.type)
        return ProviderFault(
            classify(error.status_code, codes=codes, message=error.api_message or ""),
            describe(error.status_code, codes),
            retry_after=parse_retry_after(error.response.headers, now=datetime.now(UTC)),
            maybe_billed=error.status_code in MAYBE_BILLED_STATUSES,
        )
    if isinstance(error, anthropic.APIConnectionError):
        cause = error.__cause__
        if cause is None and isinstance(error, anthropic.APITimeoutError):
            return ProviderFault(FaultKind.TIMEOUT, type(error).__name__, maybe_billed=True)
        return classify_transport(cause)
    if isinstance(error, anthropic.APIError):
        return ProviderFault(FaultKind.SERVER, type(error).__name__, maybe_billed=True)
    return classify_transport(error)


def build_anthropic(connection: Connection, _settings: LLMSettings) -> SdkAdapter:
    """Builds the adapter on an HTTP client of its own, which closes with it."""
    http = build_model_client(anthropic.DefaultAioHttpClient, connection.timeouts)
    client = anthropic.AsyncAnthropic(
        api_key=NO_KEY,
        base_url=connection.url,
        max_retries=0,  # the SDK would sleep for a Retry-After inside the call; `app.llm.retry` decides
        timeout=http.timeout,
        http_client=http,
    )
    return SdkAdapter(
        SdkParts(
            client=client,
            connection=connection,
            errors=anthropic.AnthropicError,
            classify=classify_anthropic,
            choose_format=_messages_format,
        )
    )


def _messages_format(_model: str) -> WireFormat:
    return _MESSAGES
