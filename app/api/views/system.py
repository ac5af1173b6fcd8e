"""Answers about the system: figures, intake, drains, scaling decisions, health, and problem documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import ConfigDict

from app.api.views.parts import Answer, Time, View
from app.domain.scaling import ScalingDecision
from app.domain.task import TaskStatus
from app.domain.worker_state import WorkerPresence
from app.services.dependency_health import DependencyHealth, HealthStatus
from app.services.system import SystemMetrics


class IntakeState(View):
    """The intake switch, with the reason if new tasks are not accepted."""

    accepting: bool
    reason: str


class IntakeView(Answer):
    """The intake switch after the change."""

    accepting: bool
    reason: str


class DrainView(Answer):
    """The drain of a worker, which takes no tasks for `seconds` from now; 0: it takes them again."""

    worker_id: str
    seconds: int


class QueueView(View):
    """The queue of all tenants. `length` is tickets in Redis plus tasks that wait in the database; ages in seconds.

    `runnable` of those that wait are held back by no limit and no quarantine. If `exact` is false, at least `waiting`
    tasks wait: with more than ten thousand, all are counted only from time to time. `as_of` is the time of the
    counting, up to a minute ago if counting is slow; that of a worker's figures is its `seen_at`, so the two may differ
    by a task.
    """

    length: int
    waiting: int
    exact: bool
    runnable: int | None
    listed: int | None
    processing: int
    oldest_age_seconds: float
    as_of: Time


class TodayView(View):
    """The tasks that have ended since midnight UTC, and those queued or running now.

    If `exact` is false, at least so many are queued: counting them ends at ten thousand.
    """

    by_status: dict[TaskStatus, int]
    by_agent: dict[str, int]
    exact: bool
    latency_p50_seconds: float | None
    latency_p95_seconds: float | None


class WorkerView(View):
    """A worker that is present. `condition` is `ok` or names the fault; memory is resident.

    A `paused` worker fetches no tasks: it is drained, or cannot reach the database.
    """

    worker_id: str
    name: str
    version: str
    slots: int
    running: int
    reserved: int
    draining: bool
    paused: bool
    loop_lag_ms: float
    condition: str
    memory_mb: float
    seen_at: Time


class DependencyView(View):
    """The health of a dependency: `up`, `degraded`, `down`, or `unknown` if its source does not answer."""

    status: HealthStatus
    latency_ms: float | None
    detail: str | None


class MetricsView(Answer):
    """The system's figures. A figure is null if its server does not answer; `dependencies` names that server."""

    intake: IntakeState | None
    queue: QueueView | None
    today: TodayView | None
    workers: list[WorkerView] | None
    dependencies: dict[str, DependencyView]


class ScalingDecisionView(ScalingDecision):
    """A decision of the autoscaler. `desired` and `inputs` are null if there were no figures."""

    model_config = ConfigDict(from_attributes=True)

    at: Time


class ScalingView(Answer):
    """The autoscaler's last decisions, newest first."""

    decisions: list[ScalingDecisionView]


class HealthView(View):
    """The answer of a process that runs."""

    status: Literal["ok"] = "ok"


class ReadinessView(View):
    """The readiness. `degraded`: tasks are accepted and read, and wait until Redis is back."""

    status: Literal["ready", "degraded", "not_ready"]
    dependencies: dict[str, DependencyView]


class FieldProblem(View):
    """One wrong field of a request."""

    field: str
    message: str


class ProblemView(View):
    """A problem document (RFC 9457). `code` is stable; `errors` is present if fields are wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:agent-orchestrator:problem:invalid-request",
                    "title": "Invalid request",
                    "status": 422,
                    "detail": "1 field is wrong.",
                    "code": "INVALID_REQUEST",
                    "error_category": "validation",
                    "request_id": "3f2b8e0d6c0a4b0f8f6f1f1f0c8f7a55",
                    "errors": [{"field": "task", "message": "must not be blank"}],
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    error_category: str
    request_id: str
    errors: list[FieldProblem] | None = None
    task_id: str | None = None
    known_agents: list[str] | None = None


def metrics_view(metrics: SystemMetrics) -> MetricsView:
    """Builds the answer from the figures."""
    statistics = metrics.statistics
    today = None
    if statistics is not None:
        today = TodayView(
            by_status=dict(statistics.today_by_status),
            by_agent=dict(statistics.by_agent),
            exact=statistics.exact,
            latency_p50_seconds=statistics.latency_p50_seconds,
            latency_p95_seconds=statistics.latency_p95_seconds,
        )
    return MetricsView(
        intake=None if metrics.intake is None else IntakeState.model_validate(metrics.intake),
        queue=None if metrics.queue is None else QueueView.model_validate(metrics.queue),
        today=today,
        workers=None if metrics.workers is None else [_worker(presence) for presence in metrics.workers],
        dependencies=dependency_views(metrics.dependencies.items()),
    )


def dependency_views(health: Iterable[tuple[str, DependencyHealth]]) -> dict[str, DependencyView]:
    """Builds the part of an answer that shows the dependencies."""
    return {name: DependencyView.model_validate(state) for name, state in health}


def _worker(presence: WorkerPresence) -> WorkerView:
    return WorkerView(
        worker_id=presence.worker_id,
        name=presence.name,
        version=presence.version,
        slots=presence.slots,
        running=len(presence.running),
        reserved=len(presence.reserved),
        draining=presence.draining,
        paused=presence.paused,
        loop_lag_ms=presence.loop_lag_ms,
        condition=presence.condition,
        memory_mb=presence.memory_mb,
        seen_at=presence.at,
    )
