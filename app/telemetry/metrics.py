"""Every metric of the system, once, with its exact name and labels.

Each process exports its own families only. Its composition root builds one of `ApiMetrics`, `WorkerMetrics` and
`OperatorMetrics` and hands the parts down. Labels are closed sets; children are made at start if the set is known, so
that rate() sees zeros. The units are seconds and USD, as in the names. docs/metrics.md is generated from this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from app.domain.task import TERMINAL
from app.domain.usage import AttemptStatus, ModelAttempt

_CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TASK_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_HTTP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)


@dataclass(frozen=True)
class Family:
    """The declaration of one metric, for the reference. `name` is the name that Prometheus stores."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class ProcessMetrics:
    """The registry of one process. `process` is api, worker or operator; both arguments label `agents_build_info`."""

    def __init__(self, *, process: str, version: str) -> None:
        self.registry = CollectorRegistry()
        self.families: list[Family] = []
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        build = self.gauge("agents_build_info", "Always 1; the labels name the process and its version.", _BUILD)
        build.labels(process=process, version=version).set(1)

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        self._declare(f"{name}_total", "counter", meaning, labels)
        return Counter(name, meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        self._declare(name, "gauge", meaning, labels)
        return Gauge(name, meaning, labels, registry=self.registry)

    def histogram(
        self, name: str, meaning: str, labels: Sequence[str] = (), *, buckets: Sequence[float | str]
    ) -> Histogram:
        self._declare(name, "histogram", meaning, labels)
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Returns the body for Prometheus and its content type, in the format that the Accept header prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _declare(self, name: str, kind: str, meaning: str, labels: Sequence[str]) -> None:
        self.families.append(Family(name, kind, tuple(labels), meaning))


_BUILD = ("process", "version")


class HttpMetrics:
    """The requests that the REST API answers."""

    def __init__(self, process: ProcessMetrics) -> None:
        self.http_requests = process.counter("http_requests", "HTTP requests.", ["method", "route", "status"])
        self.http_seconds = process.histogram(
            "http_request_duration_seconds", "Duration of HTTP requests.", ["method", "route"], buckets=_HTTP_SECONDS
        )


class LeaderMetrics:
    """The repairs of the leading API process."""

    def __init__(self, process: ProcessMetrics) -> None:
        self.reaper_requeued = process.counter(
            "agents_reaper_requeued", "Tasks that the reaper put back into the queue.", ["reason"]
        )
        self.truth_drift = process.gauge(
            "agents_truth_drift", "Difference between the database's and Redis's count of dispatched tasks."
        )
        for reason in ("crash", "shared_crash", "outage"):
            self.reaper_requeued.labels(reason=reason)


class TaskMetrics:
    """The tasks that a worker runs, and their agents."""

    def __init__(self, process: ProcessMetrics) -> None:
        self.tasks = process.counter("agents_tasks", "Tasks that ended.", ["status", "agent"])
        self.task_seconds = process.histogram(
            "agents_task_duration_seconds", "Time from acceptance to the end.", ["agent"], buckets=_TASK_SECONDS
        )
        self.task_wait_seconds = process.histogram(
            "agents_task_wait_seconds", "Time from due to claimed.", buckets=_TASK_SECONDS
        )
        self.workflow_seconds = process.histogram(
            "agents_workflow_execution_seconds",
            "Duration of an agent's run.",
            ["workflow_type", "status"],
            buckets=_TASK_SECONDS,
        )
        self.citations_dropped = process.counter(
            "agents_citations_dropped", "Citations of pages that the search had not returned."
        )
        self.busy_slots = process.gauge("agents_worker_busy_slots", "Tasks that this worker is running.")
        self.slots = process.gauge("agents_worker_slots", "Tasks that this worker can run at once.")
        for status in sorted(TERMINAL):
            self.tasks.labels(status=status.value, agent="none")


class OutboundMetrics:
    """The calls to providers of models and of web search: their number, time, tokens, cost, keys and breakers."""

    def __init__(self, process: ProcessMetrics) -> None:
        model = ["provider", "model"]
        self.llm_calls = process.counter("agents_llm_calls", "Model calls by outcome.", [*model, "status"])
        self.llm_tokens = process.counter("agents_llm_tokens", "Tokens of model calls.", ["type"])
        self.llm_model_tokens = process.counter("agents_llm_model_tokens", "Tokens by model.", [*model, "type"])
        self.llm_cost = process.counter("agents_llm_cost_usd", "Cost of model calls with a known price.", model)
        self.llm_unpriced = process.counter(
            "agents_llm_unpriced_calls",
            "Model calls of unknown cost: without a known price, or broken off and perhaps billed.",
            model,
        )
        self.llm_estimated = process.counter(
            "agents_llm_estimated_calls",
            "Model calls whose tokens are estimated, because the provider sent no count.",
            model,
        )
        self.llm_seconds = process.histogram(
            "agents_llm_request_duration_seconds", "Duration of model calls.", model, buckets=_CALL_SECONDS
        )
        self.llm_fallback = process.counter(
            "agents_llm_fallback", "Moves to the next model of a chain.", ["from_model", "to_model", "reason"]
        )
        self.llm_shutdown = process.gauge(
            "agents_llm_model_shutdown_timestamp_seconds",
            "Time at which the provider ends a model that is in use.",
            model,
        )
        self.key_rotations = process.counter(
            "agents_provider_key_rotations", "Provider keys that were read again after a change.", ["provider"]
        )
        self.breaker_state = process.gauge(
            "agents_circuit_breaker_state", "0 closed or paused by a 429, 1 half open, 2 open.", ["name"]
        )
        self.tool_calls = process.counter("agents_tool_calls", "Tool calls by outcome.", ["tool_name", "status"])
        for token_type in ("input", "output"):
            self.llm_tokens.labels(type=token_type)

    def observe_attempt(self, attempt: ModelAttempt) -> None:
        """Counts one try of one model, a failed one with its tokens too. A skipped attempt made no call."""
        provider, model = attempt.provider, attempt.model
        self.llm_calls.labels(provider=provider, model=model, status=attempt.status.value).inc()
        if attempt.status is AttemptStatus.SKIPPED:
            return
        self.llm_seconds.labels(provider=provider, model=model).observe(attempt.duration_ms / 1000)
        for token_type, count in (("input", attempt.usage.input_tokens), ("output", attempt.usage.output_tokens)):
            self.llm_tokens.labels(type=token_type).inc(count)
            self.llm_model_tokens.labels(provider=provider, model=model, type=token_type).inc(count)
        if attempt.usage.estimated:
            self.llm_estimated.labels(provider=provider, model=model).inc()
        if attempt.usage.cost_microusd is None:
            self.llm_unpriced.labels(provider=provider, model=model).inc()
        else:
            self.llm_cost.labels(provider=provider, model=model).inc(attempt.usage.cost_microusd / 1_000_000)


class AgentTaskMetrics:
    """The AgentTasks that the operator watches, submits, mirrors and deletes."""

    def __init__(self, process: ProcessMetrics) -> None:
        self.operator_active = process.gauge("agents_operator_active_objects", "AgentTasks that have not finished.")
        self.operator_due = process.gauge("agents_operator_due_objects", "AgentTasks in the operator's work queue.")
        self.operator_watch_events = process.counter(
            "agents_operator_watch_events", "Events of the watch on AgentTasks."
        )
        self.operator_submissions = process.counter(
            "agents_operator_submissions", "Attempts to submit a task, by outcome.", ["outcome"]
        )
        self.operator_status_writes = process.counter(
            "agents_operator_status_writes", "Statuses written to AgentTasks."
        )
        self.operator_status_lag_seconds = process.histogram(
            "agents_operator_status_lag_seconds",
            "Time from a task's end to the status that shows it.",
            buckets=_TASK_SECONDS,
        )
        self.operator_events = process.counter(
            "agents_operator_kubernetes_events", "Kubernetes events, by outcome.", ["outcome"]
        )
        self.operator_expired = process.counter(
            "agents_operator_expired_objects", "AgentTasks deleted because their time to live was over."
        )
        self.operator_lost = process.counter("agents_operator_lost_tasks", "Tasks that the API no longer knew.")
        self.operator_unserved_namespaces = process.gauge(
            "agents_operator_unserved_namespaces",
            "Namespaces that the operator is to serve and may not list: they are gone, or their Role is.",
        )
        self.operator_foreign_namespaces = process.gauge(
            "agents_operator_foreign_namespaces",
            "Namespaces that the operator is to serve and does not, because another release holds their Lease.",
        )
        self.operator_cluster_errors = process.counter(
            "agents_operator_errors", "Failed steps of the operator.", ["reason"]
        )
        for outcome in ("accepted", "refused", "held_up"):
            self.operator_submissions.labels(outcome=outcome)
        for outcome in ("written", "left_out", "failed"):
            self.operator_events.labels(outcome=outcome)


class AutoscalerMetrics:
    """The figures that the autoscaler reads, and the decisions that it makes."""

    def __init__(self, process: ProcessMetrics) -> None:
        self.queue_depth = process.gauge("agents_queue_depth", "Tasks that are due and wait.", ["queue"])
        self.queue_oldest_seconds = process.gauge(
            "agents_queue_oldest_age_seconds", "Waiting time of the oldest of them.", ["queue"]
        )
        self.autoscaler_workers = process.gauge(
            "agents_autoscaler_workers",
            "Workers: requested replicas, those that drain, those to keep, those needed.",
            ["state"],
        )
        self.autoscaler_decisions = process.counter(
            "agents_autoscaler_decisions", "Decisions by their reason.", ["reason"]
        )
        self.autoscaler_changes = process.counter(
            "agents_autoscaler_changes", "Changes of the number of replicas.", ["direction"]
        )
        self.autoscaler_wrong_victims = process.counter(
            "agents_autoscaler_wrong_victims", "Workers that were removed in place of drained ones."
        )
        self.autoscaler_refused = process.gauge(
            "agents_autoscaler_policy_refused",
            "1 if AGENT_AUTOSCALER_POLICY cannot be used, so that nothing scales the workers.",
        )
        for direction in ("up", "down"):
            self.autoscaler_changes.labels(direction=direction)


class ApiMetrics(ProcessMetrics):
    """The metrics of an API process."""

    def __init__(self, *, version: str) -> None:
        super().__init__(process="api", version=version)
        self.http = HttpMetrics(self)
        self.leader = LeaderMetrics(self)


class WorkerMetrics(ProcessMetrics):
    """The metrics of a worker process."""

    def __init__(self, *, version: str) -> None:
        super().__init__(process="worker", version=version)
        self.tasks = TaskMetrics(self)
        self.outbound = OutboundMetrics(self)


class OperatorMetrics(ProcessMetrics):
    """The metrics of the operator."""

    def __init__(self, *, version: str) -> None:
        super().__init__(process="operator", version=version)
        self.agenttasks = AgentTaskMetrics(self)
        self.autoscaler = AutoscalerMetrics(self)
