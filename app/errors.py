"""Every error of the product, in one tree.

    AgentOrchestratorError
    ├── RequestError                 the caller can mend it (4xx)
    │   ├── InvalidRequest               ├── NotFound ── TaskNotFound, SessionNotFound, WorkerNotFound, RouteNotFound
    │   ├── MalformedBody                ├── TaskErased, SessionErased
    │   ├── UnsupportedMediaType         ├── IdempotencyConflict
    │   ├── BodyTooLarge                 ├── UnknownAgent
    │   ├── MethodNotAllowed             └── RateLimited ── TenantQueueFull
    │   └── Unauthenticated, Forbidden
    ├── IntakePaused                 new tasks are refused for a while (503)
    ├── DependencyError              a server we need does not answer; trying again helps (503)
    │   ├── StoreUnavailable ── StoreFault
    │   └── BrokerUnavailable
    ├── StoreError                   the database refused an operation: a fault of ours (500)
    ├── ConfigurationError           a setting is wrong; raised at start only
    ├── ClaimLost                    this process no longer owns the task: discard, write nothing
    ├── Postponed                    this version cannot run the task, another can: hand it back
    └── TaskFailure                  ends or delays a run; `code` becomes the task's error type
        ├── UnknownTaskType, AgentUnavailable, AgentFault
        ├── AttemptsExhausted, DeadlineExceeded, Expired, BudgetExceeded, ResultTooLarge
        ├── SearchError ── SearchUnavailable, SearchRejected
        ├── UnsafeAddress
        └── LLMError
            ├── LLMUnavailable, LLMTimeout, LLMRateLimited                 try again later
            ├── LLMAuthFailed, LLMQuotaExceeded, LLMModelNotFound,         this model cannot; another may
            │   LLMContextOverflow
            └── LLMBadRequest, LLMOutputInvalid, LLMOutputEmpty,           no attempt will help
                LLMRefused, LLMOutputTruncated

Every class carries `code` (stable, for programs), `http_status` (where it crosses HTTP), `category`
and `retryable`. Messages say what happened, to which id and what to do; they never hold a secret,
a prompt or a result.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.usage import ModelAttempt


class ErrorCategory(StrEnum):
    """What kind of trouble it is: the `error_category` of a problem document."""

    VALIDATION = "validation"
    AUTHENTICATION = "authentication"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    RATE_LIMIT = "rate_limit"
    DEPENDENCY = "dependency"
    EXECUTION = "execution"
    INTERNAL = "internal"


class AgentOrchestratorError(Exception):
    """Root of the tree; never raised itself."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    http_status: ClassVar[int] = 500
    category: ClassVar[ErrorCategory] = ErrorCategory.INTERNAL
    retryable: ClassVar[bool] = False

    @property
    def message(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__


class RequestError(AgentOrchestratorError):
    http_status = 400
    category = ErrorCategory.VALIDATION


class InvalidRequest(RequestError):
    """A field is missing, unknown or out of range; `fields` names each one and what to do."""

    code = "INVALID_REQUEST"
    http_status = 422

    def __init__(self, message: str, *, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)


class MalformedBody(RequestError):
    code = "MALFORMED_BODY"


class UnsupportedMediaType(RequestError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    http_status = 415


class BodyTooLarge(RequestError):
    code = "BODY_TOO_LARGE"
    http_status = 413


class MethodNotAllowed(RequestError):
    code = "METHOD_NOT_ALLOWED"
    http_status = 405


class Unauthenticated(RequestError):
    code = "UNAUTHENTICATED"
    http_status = 401
    category = ErrorCategory.AUTHENTICATION


class Forbidden(RequestError):
    code = "FORBIDDEN"
    http_status = 403
    category = ErrorCategory.AUTHENTICATION


class NotFound(RequestError):
    code = "NOT_FOUND"
    http_status = 404
    category = ErrorCategory.NOT_FOUND


class TaskNotFound(NotFound):
    code = "TASK_NOT_FOUND"


class WorkerNotFound(NotFound):
    code = "WORKER_NOT_FOUND"


class SessionNotFound(NotFound):
    code = "SESSION_NOT_FOUND"


class RouteNotFound(NotFound):
    code = "ROUTE_NOT_FOUND"


class TaskErased(RequestError):
    code = "TASK_ERASED"
    http_status = 410
    category = ErrorCategory.NOT_FOUND


class TaskUnreadable(AgentOrchestratorError):
    """While versions are mixed: another process of the same installation may read it."""

    code = "TASK_UNREADABLE"
    http_status = 503
    retryable = True


class SessionErased(RequestError):
    code = "SESSION_ERASED"
    http_status = 410
    category = ErrorCategory.NOT_FOUND


class IdempotencyConflict(RequestError):
    """The key was used with another body; `task_id` is the task that it made."""

    code = "IDEMPOTENCY_CONFLICT"
    http_status = 409
    category = ErrorCategory.CONFLICT

    def __init__(self, message: str, *, task_id: str) -> None:
        super().__init__(message)
        self.task_id = task_id


class UnknownAgent(RequestError):
    """A pinned agent that nobody has published; `known` names those there are."""

    code = "UNKNOWN_AGENT"
    http_status = 422

    def __init__(self, message: str, *, known: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.known = tuple(known)


class RateLimited(RequestError):
    code = "RATE_LIMITED"
    http_status = 429
    category = ErrorCategory.RATE_LIMIT
    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TenantQueueFull(RateLimited):
    """The tenant has as many tasks queued as it may have."""

    code = "TENANT_QUEUE_FULL"


class IntakePaused(AgentOrchestratorError):
    code = "INTAKE_PAUSED"
    http_status = 503
    category = ErrorCategory.DEPENDENCY
    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DependencyError(AgentOrchestratorError):
    http_status = 503
    category = ErrorCategory.DEPENDENCY
    retryable = True


class StoreUnavailable(DependencyError):
    code = "STORE_UNAVAILABLE"


class StoreFault(StoreUnavailable):
    """The database answers with an internal fault: it may be recovering, or stumble over just this operation."""


class BrokerUnavailable(DependencyError):
    code = "BROKER_UNAVAILABLE"


class StoreError(AgentOrchestratorError):
    code = "STORE_ERROR"


class ConfigurationError(AgentOrchestratorError):
    code = "CONFIGURATION_ERROR"


class ClaimLost(AgentOrchestratorError):
    code = "CLAIM_LOST"


class Postponed(AgentOrchestratorError):
    code = "POSTPONED"


class TaskFailure(AgentOrchestratorError):
    """Why a run did not complete.

    `retryable`: a later attempt may succeed. `counted`: such an attempt uses up one of the task's retries
    (a 429 does not; it is limited by the task's age). `retry_after_seconds`: the provider's own wish.
    """

    category = ErrorCategory.EXECUTION
    counted: ClassVar[bool] = True

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnknownTaskType(TaskFailure):
    code = "UNKNOWN_TASK_TYPE"


class AgentUnavailable(TaskFailure):
    code = "AGENT_UNAVAILABLE"


class AgentFault(TaskFailure):
    """An agent broke its own contract or raised what nobody mapped."""

    code = "AGENT_FAULT"


class AttemptsExhausted(TaskFailure):
    code = "ATTEMPTS_EXHAUSTED"


class DeadlineExceeded(TaskFailure):
    code = "DEADLINE_EXCEEDED"


class Expired(TaskFailure):
    code = "EXPIRED"


class BudgetExceeded(TaskFailure):
    code = "BUDGET_EXCEEDED"


class ResultTooLarge(TaskFailure):
    code = "RESULT_TOO_LARGE"


class SearchError(TaskFailure):
    code = "SEARCH_ERROR"


class SearchUnavailable(SearchError):
    code = "SEARCH_UNAVAILABLE"
    retryable = True


class SearchRejected(SearchError):
    code = "SEARCH_REJECTED"


class UnsafeAddress(TaskFailure):
    code = "UNSAFE_ADDRESS"


class LLMError(TaskFailure):
    """A model call that gave no usable answer; `attempts` tells every try, what failed and what it cost."""

    code = "LLM_ERROR"

    def __init__(
        self,
        message: str,
        *,
        attempts: Sequence[ModelAttempt] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.attempts = tuple(attempts)


class LLMUnavailable(LLMError):
    code = "LLM_UNAVAILABLE"
    retryable = True


class LLMTimeout(LLMError):
    code = "LLM_TIMEOUT"
    retryable = True


class LLMRateLimited(LLMError):
    code = "LLM_RATE_LIMITED"
    retryable = True
    counted = False


class LLMAuthFailed(LLMError):
    code = "LLM_AUTH_FAILED"


class LLMQuotaExceeded(LLMError):
    code = "LLM_QUOTA_EXCEEDED"


class LLMModelNotFound(LLMError):
    code = "LLM_MODEL_NOT_FOUND"


class LLMContextOverflow(LLMError):
    code = "LLM_CONTEXT_OVERFLOW"


class LLMBadRequest(LLMError):
    code = "LLM_BAD_REQUEST"


class LLMOutputInvalid(LLMError):
    code = "LLM_OUTPUT_INVALID"


class LLMOutputEmpty(LLMError):
    code = "LLM_OUTPUT_EMPTY"


class LLMRefused(LLMError):
    code = "LLM_REFUSED"


class LLMOutputTruncated(LLMError):
    code = "LLM_OUTPUT_TRUNCATED"
