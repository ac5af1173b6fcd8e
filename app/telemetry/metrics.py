"""Every metric of the system, once, with its exact name and labels.

Build one `Metrics` per process in its composition root and hand it down. Labels are closed sets; children are made at
start where the set is known, so that rate() sees zeros. Seconds and USD, as the names say.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from app.domain.task import TERMINAL
from app.domain.usage import AttemptStatus, ModelAttempt

_CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TASK_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_HTTP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)


class Metrics:
    """The process's metrics. `version` and `process` (api, worker, operator) go to `agents_build_info`."""

    def __init__(self, *, process: str, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        make = self.registry
        self.llm_calls = Counter(
            "agents_llm_calls", "Model calls by outcome.", ["provider", "model", "status"], registry=make
        )
        self.llm_tokens = Counter("agents_llm_tokens", "Tokens of model calls.", ["type"], registry=make)
        self.llm_model_tokens = Counter(
            "agents_llm_model_tokens", "Tokens by model.", ["provider", "model", "type"], registry=make
        )
        self.llm_cost = Counter(
            "agents_llm_cost_usd", "Cost of model calls with a known price.", ["provider", "model"], registry=make
        )
        self.llm_unpriced = Counter(
            "agents_llm_unpriced_calls", "Model calls without a known price.", ["provider", "model"], registry=make
        )
        self.llm_seconds = Histogram(
            "agents_llm_request_duration_seconds",
            "Duration of model calls.",
            ["provider", "model"],
            buckets=_CALL_SECONDS,
            registry=make,
        )
        self.llm_fallback = Counter(
            "agents_llm_fallback",
            "Moves to the next model of a chain.",
            ["from_model", "to_model", "reason"],
            registry=make,
        )
        self.llm_shutdown = Gauge(
            "agents_llm_model_shutdown_timestamp_seconds",
            "When the vendor ends a model that is in use.",
            ["provider", "model"],
            registry=make,
        )
        self.key_rotations = Counter(
            "agents_provider_key_rotations", "Provider keys re-read after a change.", ["provider"], registry=make
        )
        self.breaker_state = Gauge(
            "agents_circuit_breaker_state", "0 closed, 1 half open, 2 open.", ["name"], registry=make
        )
        self.tool_calls = Counter("agents_tool_calls", "Tool calls by outcome.", ["tool_name", "status"], registry=make)
        self.citations_dropped = Counter(
            "agents_citations_dropped", "Citations of pages that the search had not returned.", registry=make
        )
        self.workflow_seconds = Histogram(
            "agents_workflow_execution_seconds",
            "Duration of an agent's run.",
            ["workflow_type", "status"],
            buckets=_TASK_SECONDS,
            registry=make,
        )
        self.tasks = Counter("agents_tasks", "Tasks that ended.", ["status", "agent"], registry=make)
        self.task_seconds = Histogram(
            "agents_task_duration_seconds",
            "From acceptance to the end.",
            ["agent"],
            buckets=_TASK_SECONDS,
            registry=make,
        )
        self.task_wait_seconds = Histogram(
            "agents_task_wait_seconds", "From due to claimed.", buckets=_TASK_SECONDS, registry=make
        )
        self.busy_slots = Gauge("agents_worker_busy_slots", "Tasks this worker is running.", registry=make)
        self.slots = Gauge("agents_worker_slots", "Tasks this worker can run at once.", registry=make)
        self.reaper_requeued = Counter(
            "agents_reaper_requeued", "Tasks the reaper put back.", ["reason"], registry=make
        )
        self.truth_drift = Gauge(
            "agents_truth_drift",
            "Difference between the database's and Redis's count of dispatched tasks.",
            registry=make,
        )
        self.operator_active = Gauge(
            "agents_operator_active_objects", "AgentTasks that have not finished.", registry=make
        )
        self.operator_due = Gauge("agents_operator_due_objects", "AgentTasks that wait to be looked at.", registry=make)
        self.operator_watch_events = Counter(
            "agents_operator_watch_events", "Events of the watch on AgentTasks.", registry=make
        )
        self.operator_submissions = Counter(
            "agents_operator_submissions", "Attempts to hand a task in, by outcome.", ["outcome"], registry=make
        )
        self.operator_status_writes = Counter(
            "agents_operator_status_writes", "Statuses written to AgentTasks.", registry=make
        )
        self.operator_status_lag_seconds = Histogram(
            "agents_operator_status_lag_seconds",
            "From a task's end to the status that says so.",
            buckets=_TASK_SECONDS,
            registry=make,
        )
        self.operator_events = Counter(
            "agents_operator_kubernetes_events", "Kubernetes events, by outcome.", ["outcome"], registry=make
        )
        self.operator_expired = Counter(
            "agents_operator_expired_objects", "AgentTasks deleted when their time to live was over.", registry=make
        )
        self.operator_lost = Counter("agents_operator_lost_tasks", "Tasks that the API no longer knew.", registry=make)
        self.operator_cluster_errors = Counter(
            "agents_operator_errors", "Failed steps of the operator.", ["reason"], registry=make
        )
        self.queue_depth = Gauge("agents_queue_depth", "Tasks that are due and wait.", ["queue"], registry=make)
        self.queue_oldest_seconds = Gauge(
            "agents_queue_oldest_age_seconds", "How long the oldest of them has waited.", ["queue"], registry=make
        )
        self.autoscaler_workers = Gauge(
            "agents_autoscaler_workers",
            "Workers: asked for, draining, to stay, and wanted by the figures.",
            ["state"],
            registry=make,
        )
        self.autoscaler_decisions = Counter(
            "agents_autoscaler_decisions", "Decisions by their reason.", ["reason"], registry=make
        )
        self.autoscaler_changes = Counter(
            "agents_autoscaler_changes", "Changes of the number of replicas.", ["direction"], registry=make
        )
        self.autoscaler_wrong_victims = Counter(
            "agents_autoscaler_wrong_victims", "Workers that were removed in place of drained ones.", registry=make
        )
        self.http_requests = Counter("http_requests", "HTTP requests.", ["method", "route", "status"], registry=make)
        self.http_seconds = Histogram(
            "http_request_duration_seconds",
            "Duration of HTTP requests.",
            ["method", "route"],
            buckets=_HTTP_SECONDS,
            registry=make,
        )
        build = Gauge("agents_build_info", "Always 1; the labels say what runs.", ["process", "version"], registry=make)
        build.labels(process=process, version=version).set(1)
        for token_type in ("input", "output"):
            self.llm_tokens.labels(type=token_type)
        for status in sorted(TERMINAL):
            self.tasks.labels(status=status.value, agent="none")
        for outcome in ("accepted", "refused", "held_up"):
            self.operator_submissions.labels(outcome=outcome)
        for direction in ("up", "down"):
            self.autoscaler_changes.labels(direction=direction)
        for outcome in ("written", "left_out", "failed"):
            self.operator_events.labels(outcome=outcome)
        for reason in ("crash", "outage"):
            self.reaper_requeued.labels(reason=reason)

    def observe_attempt(self, attempt: ModelAttempt) -> None:
        """Counts one try of one model, failed ones with their tokens too; a skipped one made no call."""
        provider, model = attempt.provider, attempt.model
        self.llm_calls.labels(provider=provider, model=model, status=attempt.status.value).inc()
        if attempt.status is AttemptStatus.SKIPPED:
            return
        self.llm_seconds.labels(provider=provider, model=model).observe(attempt.duration_ms / 1000)
        for token_type, count in (("input", attempt.usage.input_tokens), ("output", attempt.usage.output_tokens)):
            self.llm_tokens.labels(type=token_type).inc(count)
            self.llm_model_tokens.labels(provider=provider, model=model, type=token_type).inc(count)
        if attempt.usage.cost_microusd is None:
            self.llm_unpriced.labels(provider=provider, model=model).inc()
        else:
            self.llm_cost.labels(provider=provider, model=model).inc(attempt.usage.cost_microusd / 1_000_000)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The body and its content type that Prometheus scrapes, in the format its Accept header prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
