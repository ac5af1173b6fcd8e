"""The kind of a provider's error, read from its codes, its words and its status: one table for all providers."""

from __future__ import annotations

import re

from app.llm.faults import FaultKind
from app.llm.vendor_error import VendorError

_BY_CODE: dict[str, FaultKind] = {
    "insufficient_quota": FaultKind.QUOTA,
    "billing_hard_limit_reached": FaultKind.QUOTA,
    "billing_not_active": FaultKind.QUOTA,
    "billing_error": FaultKind.QUOTA,
    "exceeded_current_quota_error": FaultKind.QUOTA,  # Moonshot
    # Anthropic: a spent limit comes as a 402 or 429, and waiting does not help.
    "contract_spend_limit_reached": FaultKind.QUOTA,
    "enforced_spend_limit_reached": FaultKind.QUOTA,
    "linked_organization_spend_limit_reached": FaultKind.QUOTA,
    "linked_organization_billing_unavailable": FaultKind.QUOTA,
    "model_not_found": FaultKind.MODEL_NOT_FOUND,
    "model_not_available": FaultKind.MODEL_NOT_FOUND,
    "invalid_model": FaultKind.MODEL_NOT_FOUND,  # Mistral
    "ResourceNotFoundException": FaultKind.MODEL_NOT_FOUND,  # AWS
    "context_length_exceeded": FaultKind.CONTEXT_OVERFLOW,
    "string_above_max_length": FaultKind.CONTEXT_OVERFLOW,
    "request_too_large": FaultKind.CONTEXT_OVERFLOW,
    "request_body_too_large_after_decoding": FaultKind.CONTEXT_OVERFLOW,
    "exceed_context_size_error": FaultKind.CONTEXT_OVERFLOW,
    "content_filter": FaultKind.REFUSED,
    "content_policy_violation": FaultKind.REFUSED,
    "invalid_prompt": FaultKind.REFUSED,
    # Groq: the model's own output did not fit the schema, or was no call of a function.
    "tool_use_failed": FaultKind.INVALID,
    "json_validate_failed": FaultKind.INVALID,
    "output_parse_failed": FaultKind.INVALID,
    "bio_policy": FaultKind.REFUSED,
    "cyber_policy": FaultKind.REFUSED,
    "misalignment_policy_violation": FaultKind.REFUSED,
    "moderation_blocked": FaultKind.REFUSED,
    "rate_limit_exceeded": FaultKind.RATE_LIMITED,
    "rate_limit_error": FaultKind.RATE_LIMITED,
    "rate_limited": FaultKind.RATE_LIMITED,
    "RESOURCE_EXHAUSTED": FaultKind.RATE_LIMITED,
    "capacity_exceeded": FaultKind.RATE_LIMITED,  # Groq: 498
    "service_tier_capacity_exceeded": FaultKind.RATE_LIMITED,  # Mistral
    "overloaded": FaultKind.RATE_LIMITED,  # text-generation-inference: 429, or in a stream
    "ModelNotReadyException": FaultKind.RATE_LIMITED,  # AWS: 429
    "ServiceQuotaExceededException": FaultKind.RATE_LIMITED,  # AWS: 400 for a limit that passes
    "requests": FaultKind.RATE_LIMITED,  # the types of OpenAI's 429 for requests and for tokens a minute
    "tokens": FaultKind.RATE_LIMITED,
    "authentication_error": FaultKind.AUTH,
    "invalid_api_key": FaultKind.AUTH,
    "permission_error": FaultKind.AUTH,
    "PERMISSION_DENIED": FaultKind.AUTH,
    "UNAUTHENTICATED": FaultKind.AUTH,
    # LiteLLM without a database: a key that is not its master key comes as a 400.
    "no_db_connection": FaultKind.AUTH,
    # Anthropic: an account without permission comes as a 400, and another provider may answer.
    "organization_on_hold": FaultKind.AUTH,
    "organization_type_not_supported": FaultKind.AUTH,
    "parent_organization_required": FaultKind.AUTH,
    "cmek_key_disabled": FaultKind.AUTH,
    "cmek_key_network_blocked": FaultKind.AUTH,
    # AWS: these come as a 400.
    "IncompleteSignature": FaultKind.AUTH,
    "NotAuthorized": FaultKind.AUTH,
    "RequestExpired": FaultKind.AUTH,
    "overloaded_error": FaultKind.SERVER,
    "server_error": FaultKind.SERVER,
    "internal_server_error": FaultKind.SERVER,
    "api_error": FaultKind.SERVER,
    "engine_overloaded": FaultKind.SERVER,
    "UNAVAILABLE": FaultKind.SERVER,
    # text-generation-inference: 424 and 500, or in a stream.
    "generation": FaultKind.SERVER,
    "incomplete_generation": FaultKind.SERVER,
    "ModelErrorException": FaultKind.SERVER,  # AWS: 424
    "ModelStreamErrorException": FaultKind.SERVER,
    "timeout_error": FaultKind.TIMEOUT,
    "timeout": FaultKind.TIMEOUT,
    "ModelTimeoutException": FaultKind.TIMEOUT,  # AWS: 408
}
# The telling words of codes that no list can hold, because each server has its own: `Throttling.RateQuota` (Alibaba),
# `ModelAccountTpmRateLimitExceeded` (Volcengine), `data_inspection_failed`.
_BY_CODE_WORDS = (
    (
        FaultKind.QUOTA,
        re.compile(r"(insufficient|exhausted)_?(balance|quota|credits?|funds)|budget_?exceeded|overdue|arrear", re.I),
    ),
    (
        FaultKind.REFUSED,
        re.compile(r"sensitive_?content|data_?inspection|risk_?detection|responsible_?ai|unsafe", re.I),
    ),
    (FaultKind.RATE_LIMITED, re.compile(r"rate_?limit|throttl|too_?many_?requests|burst", re.I)),
    (
        FaultKind.MODEL_NOT_FOUND,
        re.compile(r"(model|deployment)\w*[._]?(not_?(found|open|exist)|decommissioned)", re.I),
    ),
    (FaultKind.CONTEXT_OVERFLOW, re.compile(r"context_?(length|window)|(tokens|characters|prompt)_too_long", re.I)),
    (FaultKind.AUTH, re.compile(r"api_?key|authentication|access_?denied|unauthori[sz]ed|invalid_?signature", re.I)),
    (FaultKind.SERVER, re.compile(r"overload|internal_?(server|failure)|service_?unavailable", re.I)),
)
_BY_STATUS: dict[int, FaultKind] = {
    401: FaultKind.AUTH,
    402: FaultKind.QUOTA,
    403: FaultKind.AUTH,
    404: FaultKind.WRONG_ENDPOINT,
    405: FaultKind.WRONG_ENDPOINT,
    408: FaultKind.TIMEOUT,
    409: FaultKind.SERVER,  # a lock that timed out at the provider: its SDK treats it as worth a retry
    410: FaultKind.MODEL_NOT_FOUND,
    413: FaultKind.CONTEXT_OVERFLOW,
    424: FaultKind.SERVER,  # what the server depends on failed: the model (AWS, text-generation-inference)
    425: FaultKind.SERVER,
    429: FaultKind.RATE_LIMITED,
    498: FaultKind.RATE_LIMITED,  # Groq: no capacity left for this tier
    499: FaultKind.UNREACHABLE,
}
# A gateway that gave up waiting: the server behind it has the request, and may answer and charge.
MAYBE_BILLED_STATUSES = frozenset({504, 524})
# Some servers give the reason in prose only, under a less exact code or none. Only refusals (4xx) are searched, except
# for the first reason: Ollama and llama.cpp answer 500 if they cannot read how the model called a function.
_BY_PROSE = (
    (
        FaultKind.INVALID,
        re.compile(
            r"tool_use_failed|json_validate_failed|output_parse_failed"
            r"|(error|failed) (to )?pars(e|ing) (the )?(tool|function) calls?",
            re.I,
        ),
    ),
    (
        FaultKind.CONTEXT_OVERFLOW,
        re.compile(
            r"prompt is too long|maximum context length|context (window|length|size|limit)|max_model_len"
            r"|too many tokens|request too large|input is too long|exceeds? the (maximum|model)('s)? .{0,30}tokens"
            r"|token length too long|exceeded model token limit|range of input length"
            r"|max_new_tokens\W{0,3}must be <=",
            re.I,
        ),
    ),
    (
        FaultKind.QUOTA,
        re.compile(
            r"credit balance is too low|exceeded your current quota|insufficient (credits|balance|quota|funds)"
            r"|budget has been exceeded|exceeded ?budget|(over|crossed) budget|free (allocated )?quota|overdue balance"
            r"|account is in good standing|reached your usage limit|欠费|余额不足",
            re.I,
        ),
    ),
    (
        FaultKind.REFUSED,
        re.compile(
            r"content (management )?policy|content filter|safety (system|policy)|flagged (as|for)|usage polic"
            r"|content violates|considered high risk|inappropriate content|不安全或敏感内容"
            r"|(unsafe|sensitive) (or sensitive )?(content|information)",
            re.I,
        ),
    ),
    (
        FaultKind.MODEL_NOT_FOUND,
        re.compile(
            r"^model: \S+$"  # Anthropic, under a code that llama.cpp has for a wrong path too
            r"|model identifier is invalid|on-demand throughput"  # Bedrock
            r"|(unknown|invalid|unsupported|no such) model\b|invalid model name|not a valid model"
            r"|models?\b.{0,120}\b(not found|not exist|not available|unavailable|is not supported|not loaded"
            r"|decommissioned|deprecated)"
            r"|no (endpoints|healthy deployments|deployments).{0,40}(found|available)",
            re.I | re.S,
        ),
    ),
    (
        FaultKind.AUTH,
        re.compile(
            r"(invalid|incorrect|missing|no) (api[ _-]?key|credentials|bearer token|authentication)"
            r"|api key not valid",
            re.I,
        ),
    ),
    (FaultKind.WRONG_ENDPOINT, re.compile(r"unexpected endpoint", re.I)),  # LM Studio: with status 200
)
_ABOUT_CONTENT = re.compile(r"content|prompt|input|message", re.I)
_GOOGLES_LIMIT = "RESOURCE_EXHAUSTED"
# Statuses that say more than a code that stands for any fault of the server.
_CLEAR_STATUSES = frozenset({400, 401, 402, 403, 404, 405, 413, 422, 429})
# Servers call a missing path what others call a missing model.
_NO_SUCH_PATH = re.compile(r"\s*((file|page|path|resource|route|url) )?not found\.?\s*", re.I)
# A request that is larger than the limit of a whole minute comes as a rate limit (OpenAI: 429, Groq: 413), and so does
# one for which an account would have to pay extra (Anthropic). No wait helps. `Limit 30000, Used 29000, Requested 2000`
# is a passing one.
_TOO_LARGE = re.compile(r"request too large for|extra usage is required for long context", re.I)
_REQUESTED = re.compile(r"\blimit:? ([0-9,]{1,20})\b.{0,80}?\brequested:? ([0-9,]{1,20})\b", re.I | re.S)


def exceeds_limit_alone(message: str) -> bool:
    """Checks whether a provider's text about a rate limit says that this one request can never fit."""
    if _TOO_LARGE.search(message):
        return True
    found = _REQUESTED.search(message)
    limit, requested = (int(number.replace(",", "") or 0) for number in found.groups()) if found else (0, 0)
    return requested > limit


def classify(error: VendorError) -> FaultKind:
    """Finds the kind of a provider's error from its codes and types, its text, and its HTTP status."""
    if error.status in (None, 413, 429) and exceeds_limit_alone(error.message):
        return FaultKind.CONTEXT_OVERFLOW
    if error.status in MAYBE_BILLED_STATUSES:
        return FaultKind.TIMEOUT
    if error.is_page and error.status in (401, 403):
        return FaultKind.WRONG_ENDPOINT  # it has not come as far as a key that could be wrong
    # Codes before the status, which is less exact: a spent quota comes as a 429, a content filter as a 400.
    by_code = _kind_of_code(error)
    if by_code is FaultKind.SERVER and error.status in _CLEAR_STATUSES:
        by_code = None  # `api_error` and the like are what some servers call every error
    told = _told(error)
    if error.status == 429 or by_code is FaultKind.RATE_LIMITED:
        # `Too many tokens` and the like are about a minute here. Google says of it what OpenAI says of a spent quota.
        return (
            told if told is FaultKind.QUOTA and _GOOGLES_LIMIT not in error.codes else by_code or FaultKind.RATE_LIMITED
        )
    if told is FaultKind.INVALID or (by_code is None and told is not None):
        return told
    if by_code is FaultKind.MODEL_NOT_FOUND and _NO_SUCH_PATH.fullmatch(error.message):
        return FaultKind.WRONG_ENDPOINT
    if by_code is not None:
        return by_code
    if error.status is None:
        # An error inside a stream without a known code: one that names no fault of the server is about the request.
        return FaultKind.BAD_REQUEST if error.codes else FaultKind.SERVER
    if error.status >= 500:
        return FaultKind.SERVER
    return _BY_STATUS.get(error.status, FaultKind.BAD_REQUEST)


def _kind_of_code(error: VendorError) -> FaultKind | None:
    """Finds the kind that a code names: a known one, else in a refusal one with a telling word."""
    known = next((_BY_CODE[code] for code in error.codes if code in _BY_CODE), None)
    if known is not None or (error.status is not None and error.status >= 500):
        return known
    return next((kind for code in error.codes for kind, words in _BY_CODE_WORDS if words.search(code)), None)


def _told(error: VendorError) -> FaultKind | None:
    """Finds the kind that the prose names."""
    told = next((kind for kind, pattern in _BY_PROSE if pattern.search(error.message)), None)
    if error.status is not None and error.status >= 500 and told is not FaultKind.INVALID:
        return None
    about_account = error.status in (401, 403) and not _ABOUT_CONTENT.search(error.message)
    return None if told is FaultKind.REFUSED and about_account else told
