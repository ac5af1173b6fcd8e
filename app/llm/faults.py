"""The faults of a model call and their consequences: one table for all providers.

A `ProviderFault` never leaves `app.llm`: `choose_error` turns the faults of a chain into one LLMError. Its `detail`
holds codes and statuses only, because the messages of providers may repeat prompts and keys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from app.domain.usage import AttemptStatus
from app.errors import (
    LLMAuthFailed,
    LLMBadRequest,
    LLMContextOverflow,
    LLMError,
    LLMModelNotFound,
    LLMOutputEmpty,
    LLMOutputInvalid,
    LLMOutputTruncated,
    LLMQuotaExceeded,
    LLMRateLimited,
    LLMRefused,
    LLMTimeout,
    LLMUnavailable,
)
from app.llm.pricing import TokenCounts


class Action(Enum):
    """The next step: the same model again, the next model, or the end of the call."""

    RETRY = auto()
    NEXT_HOP = auto()
    FATAL = auto()


class Verdict(Enum):
    """The provider's health as a fault shows it, for the circuit breaker."""

    ILL = auto()
    ALIVE = auto()
    BUSY = auto()
    NONE = auto()


class FaultKind(StrEnum):
    """The kinds of faults; also the `reason` label of `agents_llm_fallback_total`."""

    UNREACHABLE = "unreachable"
    SERVER = "server"
    BROKEN_ANSWER = "broken_answer"
    TIMEOUT = "timeout"
    DEADLINE = "deadline"
    RATE_LIMITED = "rate_limited"
    BREAKER_OPEN = "breaker_open"
    COOLING = "cooling"
    LIMITED = "limited"
    AUTH = "auth"
    QUOTA = "quota"
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_OVERFLOW = "context_overflow"
    EMPTY = "empty"
    BAD_REQUEST = "bad_request"
    INVALID = "invalid"
    REFUSED = "refused"
    TRUNCATED = "truncated"


@dataclass(frozen=True)
class Consequence:
    """The consequences of one kind: the error of the call, the status of the attempt, and what happens next."""

    error: type[LLMError]
    status: AttemptStatus
    action: Action
    verdict: Verdict


_ERROR, _TIMEOUT, _INVALID = AttemptStatus.ERROR, AttemptStatus.TIMEOUT, AttemptStatus.INVALID_OUTPUT
CONSEQUENCES: dict[FaultKind, Consequence] = {
    FaultKind.UNREACHABLE: Consequence(LLMUnavailable, _ERROR, Action.RETRY, Verdict.ILL),
    FaultKind.SERVER: Consequence(LLMUnavailable, _ERROR, Action.RETRY, Verdict.ILL),
    FaultKind.BROKEN_ANSWER: Consequence(LLMUnavailable, _ERROR, Action.RETRY, Verdict.ILL),
    FaultKind.TIMEOUT: Consequence(LLMTimeout, _TIMEOUT, Action.RETRY, Verdict.ILL),
    FaultKind.DEADLINE: Consequence(LLMTimeout, _TIMEOUT, Action.NEXT_HOP, Verdict.NONE),
    FaultKind.RATE_LIMITED: Consequence(LLMRateLimited, AttemptStatus.RATE_LIMITED, Action.RETRY, Verdict.BUSY),
    FaultKind.BREAKER_OPEN: Consequence(LLMUnavailable, AttemptStatus.SKIPPED, Action.NEXT_HOP, Verdict.NONE),
    FaultKind.COOLING: Consequence(LLMRateLimited, AttemptStatus.SKIPPED, Action.NEXT_HOP, Verdict.NONE),
    FaultKind.LIMITED: Consequence(LLMRateLimited, AttemptStatus.SKIPPED, Action.NEXT_HOP, Verdict.NONE),
    FaultKind.AUTH: Consequence(LLMAuthFailed, _ERROR, Action.NEXT_HOP, Verdict.ALIVE),
    FaultKind.QUOTA: Consequence(LLMQuotaExceeded, _ERROR, Action.NEXT_HOP, Verdict.ALIVE),
    FaultKind.MODEL_NOT_FOUND: Consequence(LLMModelNotFound, _ERROR, Action.NEXT_HOP, Verdict.ALIVE),
    FaultKind.CONTEXT_OVERFLOW: Consequence(LLMContextOverflow, _ERROR, Action.NEXT_HOP, Verdict.ALIVE),
    FaultKind.EMPTY: Consequence(LLMOutputEmpty, _INVALID, Action.NEXT_HOP, Verdict.ALIVE),
    FaultKind.BAD_REQUEST: Consequence(LLMBadRequest, _ERROR, Action.FATAL, Verdict.ALIVE),
    FaultKind.INVALID: Consequence(LLMOutputInvalid, _INVALID, Action.FATAL, Verdict.ALIVE),
    FaultKind.REFUSED: Consequence(LLMRefused, _INVALID, Action.FATAL, Verdict.ALIVE),
    FaultKind.TRUNCATED: Consequence(LLMOutputTruncated, _INVALID, Action.FATAL, Verdict.ALIVE),
}


class ProviderFault(Exception):
    """One failed attempt.

    `tokens` are the provider's own count. `maybe_billed`: the request was sent and its cost is unknown, so its
    reservation stays open. `retry_after` is the wait in seconds that the provider requested.
    """

    def __init__(
        self,
        kind: FaultKind,
        detail: str = "",
        *,
        tokens: TokenCounts | None = None,
        served_model: str | None = None,
        retry_after: float | None = None,
        maybe_billed: bool = False,
    ) -> None:
        super().__init__(f"{kind.value} {detail}".strip())
        self.kind = kind
        self.detail = detail
        self.tokens = tokens
        self.served_model = served_model
        self.retry_after = retry_after
        self.maybe_billed = maybe_billed

    @property
    def consequence(self) -> Consequence:
        """Looks up the consequences of this kind."""
        return CONSEQUENCES[self.kind]

    def cap_retry_after(self, seconds: float) -> None:
        """Shortens the wait that the provider requested: a header must not stop a model, or a task, for hours."""
        if self.retry_after is not None:
            self.retry_after = min(self.retry_after, seconds)


class InvalidOutput(ProviderFault):
    """An answer that does not fit its schema. `text` and `problems` go back to the model and nowhere else."""

    def __init__(self, *, text: str, problems: str, tokens: TokenCounts, served_model: str) -> None:
        super().__init__(FaultKind.INVALID, "schema", tokens=tokens, served_model=served_model)
        self.text = text
        self.problems = problems


_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_BY_CODE: dict[str, FaultKind] = {
    "insufficient_quota": FaultKind.QUOTA,
    "billing_hard_limit_reached": FaultKind.QUOTA,
    "billing_not_active": FaultKind.QUOTA,
    "billing_error": FaultKind.QUOTA,
    "model_not_found": FaultKind.MODEL_NOT_FOUND,
    "context_length_exceeded": FaultKind.CONTEXT_OVERFLOW,
    "string_above_max_length": FaultKind.CONTEXT_OVERFLOW,
    "request_too_large": FaultKind.CONTEXT_OVERFLOW,
    "content_filter": FaultKind.REFUSED,
    "content_policy_violation": FaultKind.REFUSED,
    "invalid_prompt": FaultKind.REFUSED,
    "rate_limit_exceeded": FaultKind.RATE_LIMITED,
    "rate_limit_error": FaultKind.RATE_LIMITED,
    "tokens": FaultKind.RATE_LIMITED,  # the type of OpenAI's 429 for tokens a minute
    "authentication_error": FaultKind.AUTH,
    "invalid_api_key": FaultKind.AUTH,
    "permission_error": FaultKind.AUTH,
    "not_found_error": FaultKind.MODEL_NOT_FOUND,
    "overloaded_error": FaultKind.SERVER,
    "server_error": FaultKind.SERVER,
    "api_error": FaultKind.SERVER,
    "timeout_error": FaultKind.TIMEOUT,
}
_BY_STATUS: dict[int, FaultKind] = {
    401: FaultKind.AUTH,
    402: FaultKind.QUOTA,
    403: FaultKind.AUTH,
    404: FaultKind.MODEL_NOT_FOUND,
    408: FaultKind.TIMEOUT,
    409: FaultKind.SERVER,  # a lock that timed out at the provider: both SDKs treat it as worth a retry
    410: FaultKind.MODEL_NOT_FOUND,
    413: FaultKind.CONTEXT_OVERFLOW,
    429: FaultKind.RATE_LIMITED,
}
# Some providers give the reason in prose only, under a less exact code. The text is searched here and not kept.
_BY_PROSE = (
    (FaultKind.CONTEXT_OVERFLOW, re.compile(r"prompt is too long|maximum context length|context window", re.I)),
    (FaultKind.QUOTA, re.compile(r"credit balance is too low|exceeded your current quota", re.I)),
)
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


def classify(status: int | None, *, codes: Sequence[object], message: str = "") -> FaultKind:
    """Finds the kind of a provider's error from its HTTP status, its codes and types, and its text."""
    if status in (413, 429) and exceeds_limit_alone(message):
        return FaultKind.CONTEXT_OVERFLOW
    if status in (400, 422, 429):
        for kind, pattern in _BY_PROSE:
            if pattern.search(message):
                return kind
    # Codes before the status, which is less exact: a spent quota comes as a 429, a content filter as a 400.
    for code in codes:
        if isinstance(code, str) and code in _BY_CODE:
            return _BY_CODE[code]
    if status is None or status >= 500:
        return FaultKind.SERVER
    return _BY_STATUS.get(status, FaultKind.BAD_REQUEST)


def describe(status: int | None, codes: Sequence[object]) -> str:
    """Joins status and codes (`429 rate_limit_exceeded`), without anything that could hold a text."""
    present = dict.fromkeys(code for code in codes if isinstance(code, str) and _CODE.fullmatch(code))
    return " ".join([*([str(status)] if status is not None else []), *present])


_LATER_HELPS = (LLMUnavailable, LLMTimeout, LLMRateLimited)
# No call was made (breaker, limit), or the provider is well and asked for patience: neither says anything of the task.
_FREE = (AttemptStatus.SKIPPED, AttemptStatus.RATE_LIMITED)


def choose_error(faults: Sequence[ProviderFault]) -> type[LLMError]:
    """Chooses the error of a chain whose every hop failed, given the last fault of each.

    If any hop may answer later, the task may be retried later: the class that these hops have in common, else
    LLMUnavailable. Otherwise it is the error of the first model, because that one was meant to answer.
    """
    classes = [fault.consequence.error for fault in faults]
    temporary = {error for error in classes if error in _LATER_HELPS}
    if temporary:
        return temporary.pop() if len(temporary) == 1 else LLMUnavailable
    return classes[0] if classes else LLMUnavailable


def uses_up_attempt(faults: Sequence[ProviderFault]) -> bool:
    """Checks whether a chain whose every hop failed uses up one of the task's attempts.

    It does if a call was made that failed and may succeed later. If only skipped or rate-limited hops may help later,
    the task keeps its attempts.
    """
    outcomes = [fault.consequence for fault in faults]
    return any(outcome.error in _LATER_HELPS and outcome.status not in _FREE for outcome in outcomes)
