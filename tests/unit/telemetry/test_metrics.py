"""The names and labels that dashboards and alerts rely on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import Counter

from app.cli.metrics_reference import render_metrics
from app.domain.usage import AttemptStatus, ModelAttempt, Usage
from app.telemetry.metrics import ApiMetrics, OperatorMetrics, ProcessMetrics, WorkerMetrics

API_LABELS = {
    "agents_build_info": {"process", "version"},
    "agents_reaper_requeued_total": {"reason"},
    "agents_truth_drift": set(),
    "http_requests_total": {"method", "route", "status"},
    "http_request_duration_seconds": {"method", "route"},
}
WORKER_LABELS = {
    "agents_build_info": {"process", "version"},
    "agents_llm_calls_total": {"provider", "model", "status"},
    "agents_llm_tokens_total": {"type"},
    "agents_llm_model_tokens_total": {"provider", "model", "type"},
    "agents_llm_cost_usd_total": {"provider", "model"},
    "agents_llm_unpriced_calls_total": {"provider", "model"},
    "agents_llm_estimated_calls_total": {"provider", "model"},
    "agents_llm_request_duration_seconds": {"provider", "model"},
    "agents_llm_fallback_total": {"from_model", "to_model", "reason"},
    "agents_llm_model_shutdown_timestamp_seconds": {"provider", "model"},
    "agents_provider_key_rotations_total": {"provider"},
    "agents_circuit_breaker_state": {"name"},
    "agents_tool_calls_total": {"tool_name", "status"},
    "agents_workflow_execution_seconds": {"workflow_type", "status"},
    "agents_tasks_total": {"status", "agent"},
    "agents_task_duration_seconds": {"agent"},
    "agents_task_wait_seconds": set(),
    "agents_citations_dropped_total": set(),
    "agents_worker_busy_slots": set(),
    "agents_worker_slots": set(),
}
OPERATOR_LABELS = {
    "agents_build_info": {"process", "version"},
    "agents_operator_active_objects": set(),
    "agents_operator_due_objects": set(),
    "agents_operator_watch_events_total": set(),
    "agents_operator_submissions_total": {"outcome"},
    "agents_operator_status_writes_total": set(),
    "agents_operator_status_lag_seconds": set(),
    "agents_operator_kubernetes_events_total": {"outcome"},
    "agents_operator_expired_objects_total": set(),
    "agents_operator_lost_tasks_total": set(),
    "agents_operator_unserved_namespaces": set(),
    "agents_operator_foreign_namespaces": set(),
    "agents_operator_errors_total": {"reason"},
    "agents_queue_depth": {"queue"},
    "agents_queue_oldest_age_seconds": {"queue"},
    "agents_autoscaler_workers": {"state"},
    "agents_autoscaler_decisions_total": {"reason"},
    "agents_autoscaler_changes_total": {"direction"},
    "agents_autoscaler_wrong_victims_total": set(),
    "agents_autoscaler_policy_refused": set(),
}
DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"


@pytest.fixture
def metrics() -> WorkerMetrics:
    return WorkerMetrics(version="1.2.3")


def attempt(status: AttemptStatus = AttemptStatus.OK, *, cost_microusd: int | None = 500_000) -> ModelAttempt:
    usage = Usage(input_tokens=7, output_tokens=3, cost_microusd=cost_microusd)
    return ModelAttempt(
        provider="openai", model="m", status=status, usage=usage, duration_ms=40, started_at=datetime.now(UTC)
    )


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (ApiMetrics(version="test"), API_LABELS),
        (WorkerMetrics(version="test"), WORKER_LABELS),
        (OperatorMetrics(version="test"), OPERATOR_LABELS),
    ],
    ids=["api", "worker", "operator"],
)
def test_a_process_exports_its_own_families_with_exactly_their_labels(
    process: ProcessMetrics, expected: dict[str, set[str]]
) -> None:
    registered = {
        vars(collector)["_name"] + ("_total" if isinstance(collector, Counter) else ""): set(
            vars(collector)["_labelnames"]
        )
        for collector in set(process.registry._collector_to_names)
        if hasattr(collector, "_labelnames")
    }

    assert registered == expected
    assert {family.name: set(family.labels) for family in process.families} == expected


def test_the_reference_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == render_metrics(), "run `make docs`"


def test_zeros_are_there_before_anything_happens(metrics: WorkerMetrics) -> None:
    body, _ = metrics.exposition("")

    assert b'agents_llm_tokens_total{type="input"} 0.0' in body
    assert b'agents_tasks_total{agent="none",status="failed"} 0.0' in body
    assert b'agents_build_info{process="worker",version="1.2.3"} 1.0' in body


def test_an_attempt_counts_its_call_tokens_cost_and_time(metrics: WorkerMetrics) -> None:
    metrics.outbound.observe_attempt(attempt())

    body, _ = metrics.exposition("")
    assert b'agents_llm_calls_total{model="m",provider="openai",status="ok"} 1.0' in body
    assert b'agents_llm_tokens_total{type="output"} 3.0' in body
    assert b'agents_llm_model_tokens_total{model="m",provider="openai",type="input"} 7.0' in body
    assert b'agents_llm_cost_usd_total{model="m",provider="openai"} 0.5' in body
    assert b'agents_llm_request_duration_seconds_count{model="m",provider="openai"} 1.0' in body


def test_an_attempt_without_a_price_is_counted_apart(metrics: WorkerMetrics) -> None:
    metrics.outbound.observe_attempt(attempt(cost_microusd=None))

    body, _ = metrics.exposition("")
    assert b'agents_llm_unpriced_calls_total{model="m",provider="openai"} 1.0' in body
    assert b"agents_llm_cost_usd_total{" not in body


def test_an_attempt_whose_tokens_are_estimated_is_counted_too(metrics: WorkerMetrics) -> None:
    counted = attempt()
    metrics.outbound.observe_attempt(counted)
    usage = counted.usage.model_copy(update={"estimated": True})
    metrics.outbound.observe_attempt(counted.model_copy(update={"usage": usage}))

    body, _ = metrics.exposition("")
    assert b'agents_llm_estimated_calls_total{model="m",provider="openai"} 1.0' in body
    assert b'agents_llm_model_tokens_total{model="m",provider="openai",type="input"} 14.0' in body


def test_a_skipped_attempt_made_no_call(metrics: WorkerMetrics) -> None:
    metrics.outbound.observe_attempt(attempt(AttemptStatus.SKIPPED))

    body, _ = metrics.exposition("")
    assert b'agents_llm_calls_total{model="m",provider="openai",status="skipped"} 1.0' in body
    assert b"agents_llm_request_duration_seconds_count" not in body


def test_the_scraper_chooses_the_format(metrics: WorkerMetrics) -> None:
    _, plain = metrics.exposition("text/plain")
    body, open_metrics = metrics.exposition("application/openmetrics-text; version=1.0.0")

    assert plain.startswith("text/plain")
    assert open_metrics.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
