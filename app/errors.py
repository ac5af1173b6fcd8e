"""Every error that crosses a process or a layer, in one tree. Errors of one package alone are defined there.

    AgentOrchestratorError
    ├── RequestError                   the caller can correct it (4xx)
    │   ├── InvalidRequest, MalformedBody, UnsupportedMediaType, BodyTooLarge, MethodNotAllowed
    │   ├── HeadTooLarge, RequestTooSlow
    │   ├── Unauthenticated, Forbidden
    │   ├── NotFound ── TaskNotFound, SessionNotFound, WorkerNotFound, RouteNotFound
    │   ├── TaskErased, SessionErased
    │   ├── IdempotencyConflict, UnknownAgent
    │   └── RateLimited ── TenantQueueFull
    ├── TaskUnreadable                 another version wrote the task; a process of that version can read it (503)
    ├── IntakePaused                   new tasks are refused for a while (503)
    ├── TooManyConnections             the API takes no further connection for now (503)
    ├── DependencyError                a server that we need does not answer; another try helps (503)
    │   ├── StoreUnavailable ── StoreFault
    │   └── BrokerUnavailable ── BrokerUnsuitable
    ├── StoreError ── StoreUnsuitable  the database refused an operation: a fault of ours (500)
    ├── ConfigurationError             a setting is wrong; raised at start only
    ├── ClaimLost                      this process no longer owns the task: discard, write nothing
    ├── Postponed                      this version cannot run the task, another can: hand it back
    └── TaskFailure                    ends or delays a run; `code` becomes the task's error type
        ├── UnknownTaskType, AgentUnavailable, AgentFault
        ├── AttemptsExhausted, DeadlineExceeded, Expired, BudgetExceeded, ResultTooLarge
        ├── SearchError ── SearchUnavailable, SearchRejected
        ├── UnsafeAddress
        └── LLMError
            ├── LLMUnavailable, LLMTimeout, LLMRateLimited              try again later
            ├── LLMAuthFailed, LLMQuotaExceeded                         this model cannot, another may
            ├── LLMModelNotFound, LLMContextOverflow                    this model cannot, another may
            └── LLMBadRequest, LLMOutputInvalid, LLMOutputEmpty, LLMRefused, LLMOutputTruncated   no attempt will help

Every class carries `code` (stable, for programs), `http_status` (for those that cross HTTP), `category` and
`retryable`. Messages name the event, the id and the remedy; they never hold a secret, a prompt or a result.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.usage import ModelAttempt


class ErrorCategory(StrEnum):
    """The kind of an error: the `error_category` of a problem document."""

    VALIDATION = "validation"
    AUTHENTICATION = "authentication"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    RATE_LIMIT = "rate_limit"
    DEPENDENCY = "dependency"
    EXECUTION = "execution"
    INTERNAL = "internal"


class AgentOrchestratorError(Exception):
    """The root of the tree; never raised itself."""

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
    """A field is missing, unknown or out of range. `fields` pairs each one with what to do."""

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


class HeadTooLarge(RequestError):
    """The request line and the headers together are too large."""

    code = "HEAD_TOO_LARGE"
    http_status = 431


class RequestTooSlow(RequestError):
    """The client did not send its request in time."""

    code = "REQUEST_TOO_SLOW"
    http_status = 408


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
    """The stored task has a field that this version does not understand. Happens while versions are mixed."""

    code = "TASK_UNREADABLE"
    http_status = 503
    retryable = True


class SessionErased(RequestError):
    code = "SESSION_ERASED"
    http_status = 410
    category = ErrorCategory.NOT_FOUND


class IdempotencyConflict(RequestError):
    """The key was used with another body. `task_id` is the task that it made."""

    code = "IDEMPOTENCY_CONFLICT"
    http_status = 409
    category = ErrorCategory.CONFLICT

    def __init__(self, message: str, *, task_id: str) -> None:
        super().__init__(message)
        self.task_id = task_id


class UnknownAgent(RequestError):
    """A pinned agent that no worker has published. `known` names the published ones."""

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
    """The tenant has as many queued tasks as its policy allows."""

    code = "TENANT_QUEUE_FULL"


class IntakePaused(AgentOrchestratorError):
    code = "INTAKE_PAUSED"
    http_status = 503
    category = ErrorCategory.DEPENDENCY
    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooManyConnections(AgentOrchestratorError):
    code = "TOO_MANY_CONNECTIONS"
    http_status = 503
    category = ErrorCategory.RATE_LIMIT
    retryable = True


class DependencyError(AgentOrchestratorError):
    http_status = 503
    category = ErrorCategory.DEPENDENCY
    retryable = True


class StoreUnavailable(DependencyError):
    code = "STORE_UNAVAILABLE"


class StoreFault(StoreUnavailable):
    """The database answered with an internal fault. It may be recovering, or fail on just this operation."""


class BrokerUnavailable(DependencyError):
    code = "BROKER_UNAVAILABLE"


class BrokerUnsuitable(BrokerUnavailable):
    """The server is of a kind with which the product cannot work. No process starts with it."""


class StoreError(AgentOrchestratorError):
    code = "STORE_ERROR"


class StoreUnsuitable(StoreError):
    """The server is of a kind with which the product cannot work. No process starts with it."""


class ConfigurationError(AgentOrchestratorError):
    code = "CONFIGURATION_ERROR"


class ClaimLost(AgentOrchestratorError):
    code = "CLAIM_LOST"


class Postponed(AgentOrchestratorError):
    code = "POSTPONED"


class TaskFailure(AgentOrchestratorError):
    """The reason why a run did not complete.

    `retryable`: a later attempt may succeed. `counted`: such an attempt uses up one of the task's retries. A class sets
    the default, and one error may differ from it: a 429 is never counted, nor is a refusal by a circuit breaker; only
    the task's age limits them. `retry_after_seconds`: the delay after which a later attempt makes sense.
    """

    category = ErrorCategory.EXECUTION
    counted: bool = True

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnknownTaskType(TaskFailure):
    code = "UNKNOWN_TASK_TYPE"


class AgentUnavailable(TaskFailure):
    code = "AGENT_UNAVAILABLE"


class AgentFault(TaskFailure):
    """An agent broke its own contract, or raised an error that is not mapped to this tree."""

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
    """A model call that gave no usable answer. `attempts` lists every try with its error and its cost.

    `counted` None is the default of the class.
    """

    code = "LLM_ERROR"

    def __init__(
        self,
        message: str,
        *,
        attempts: Sequence[ModelAttempt] = (),
        retry_after_seconds: float | None = None,
        counted: bool | None = None,
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.attempts = tuple(attempts)
        if counted is not None:
            self.counted = counted


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
