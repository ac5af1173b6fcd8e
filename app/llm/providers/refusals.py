"""A refusal with an HTTP status as a fault: what it is, when to ask again, and what of it may be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.llm.faults import FaultKind, ProviderFault
from app.llm.providers.adapter import ProviderRequest
from app.llm.providers.wire import rejected_output
from app.llm.refusal_kinds import MAYBE_BILLED_STATUSES, classify
from app.llm.retry import parse_limit_reset, parse_retry_after, parse_should_retry
from app.llm.vendor_error import VendorError, describe, outline


def refusal_fault(
    error: VendorError, headers: Mapping[str, str], request: ProviderRequest, *, secrets: Sequence[str] = ()
) -> ProviderFault:
    """Builds the fault. Nothing that it shows is a quotation from the prompt, or one of the secrets that were sent."""
    kind = classify(error)
    if kind is FaultKind.INVALID:
        return rejected_output(error, request, secrets=secrets)
    now = datetime.now(UTC)
    retry_after = parse_retry_after(headers, now=now)
    if retry_after is None and kind is FaultKind.RATE_LIMITED:
        retry_after = parse_limit_reset(headers, now=now)
    return ProviderFault(
        kind,
        describe(error, prompt=request.texts(), secrets=secrets),
        outline=outline(error, prompt=request.texts(), secrets=secrets),
        retry_after=retry_after,
        should_retry=parse_should_retry(headers),
        maybe_billed=error.status in MAYBE_BILLED_STATUSES,
        refusal=error,
    )
