"""The faults of a model call and their consequences: one table for all providers.

A `ProviderFault` never leaves `app.llm`: `choose_error` turns the faults of a chain into one LLMError. Its `detail` may
be stored, so what a provider says is in it only without keys and without quotations from the prompt. Its `outline` is
what may be logged: `detail` without the provider's prose, which may still have a word of the prompt or of the answer.
"""

from __future__ import annotations

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
from app.llm.vendor_error import VendorError


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
    WRONG_ENDPOINT = "wrong_endpoint"
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
    # Not the same model again: it would take as long as before, and every wait may be billed.
    FaultKind.TIMEOUT: Consequence(LLMTimeout, _TIMEOUT, Action.NEXT_HOP, Verdict.ILL),
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
    # What one model refuses, or cannot do, another one may do. Only what is wrong with the content is final.
    FaultKind.BAD_REQUEST: Consequence(LLMBadRequest, _ERROR, Action.NEXT_HOP, Verdict.ALIVE),
    FaultKind.WRONG_ENDPOINT: Consequence(LLMBadRequest, _ERROR, Action.NEXT_HOP, Verdict.ALIVE),
    FaultKind.INVALID: Consequence(LLMOutputInvalid, _INVALID, Action.NEXT_HOP, Verdict.ALIVE),
    FaultKind.TRUNCATED: Consequence(LLMOutputTruncated, _INVALID, Action.NEXT_HOP, Verdict.ALIVE),
    FaultKind.REFUSED: Consequence(LLMRefused, _INVALID, Action.FATAL, Verdict.ALIVE),
}


class ProviderFault(Exception):
    """One failed attempt.

    `tokens` are the provider's own count, None if it gave none. `text` is the text of an answer that came and cannot be
    used; it was paid for. `maybe_billed`: the request was sent and its cost is unknown, so its reservation stays open.
    `retry_after` is the wait in seconds that the provider requested; `should_retry` is its own word on a retry, None if
    it gave none. `refusal` is what the provider said, in full: `detail` is the part of it that the owner of the task
    may see, and `outline`, by default the same, the part that may be logged. `cut_to_budget`: the answer was cut off
    because a budget left no more.
    """

    def __init__(
        self,
        kind: FaultKind,
        detail: str = "",
        *,
        outline: str | None = None,
        tokens: TokenCounts | None = None,
        served_model: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        maybe_billed: bool = False,
        text: str | None = None,
        refusal: VendorError | None = None,
        cut_to_budget: bool = False,
    ) -> None:
        super().__init__(f"{kind.value} {detail}".strip())
        self.kind = kind
        self.detail = detail
        self.outline = detail if outline is None else outline
        self.tokens = tokens
        self.served_model = served_model
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.maybe_billed = maybe_billed
        self.text = text
        self.refusal = refusal
        self.cut_to_budget = cut_to_budget

    @property
    def consequence(self) -> Consequence:
        """Looks up the consequences of this kind."""
        return CONSEQUENCES[self.kind]

    @property
    def action(self) -> Action:
        """Decides on the next step: as its kind demands, except that the provider's own word on a retry counts more.

        A policy's refusal stays final, and a call that may have been billed is not repeated on a mere word.
        """
        action = self.consequence.action
        if action is Action.FATAL or self.should_retry is None or (self.should_retry and self.maybe_billed):
            return action
        return Action.RETRY if self.should_retry else Action.NEXT_HOP

    def cap_retry_after(self, seconds: float) -> None:
        """Shortens the wait that the provider requested: a header must not stop a model, or a task, for hours."""
        if self.retry_after is not None:
            self.retry_after = min(self.retry_after, seconds)


class InvalidOutput(ProviderFault):
    """An answer that does not fit its schema. `text` and `problems` go back to the model and nowhere else."""

    text: str

    def __init__(
        self,
        *,
        text: str,
        problems: str,
        tokens: TokenCounts | None,
        served_model: str,
        detail: str = "schema",
        outline: str | None = None,
    ) -> None:
        super().__init__(
            FaultKind.INVALID, detail, outline=outline, tokens=tokens, served_model=served_model, text=text
        )
        self.problems = problems


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
