"""The names and labels that dashboards and alerts rely on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.domain.usage import AttemptStatus, ModelAttempt, Usage
from app.telemetry.metrics import Metrics

LABELS = {
    "agents_llm_calls": {"provider", "model", "status"},
    "agents_llm_tokens": {"type"},
    "agents_workflow_execution_seconds": {"workflow_type", "status"},
    "agents_tool_calls": {"tool_name", "status"},
    "agents_llm_request_duration_seconds": {"provider", "model"},
    "agents_llm_model_tokens": {"provider", "model", "type"},
    "agents_llm_cost_usd": {"provider", "model"},
    "agents_llm_fallback": {"from_model", "to_model", "reason"},
    "agents_circuit_breaker_state": {"name"},
    "agents_tasks": {"status", "agent"},
    "agents_task_duration_seconds": {"agent"},
    "agents_task_wait_seconds": set(),
    "agents_worker_busy_slots": set(),
    "agents_worker_slots": set(),
    "agents_reaper_requeued": {"reason"},
    "agents_truth_drift": set(),
    "http_requests": {"method", "route", "status"},
    "http_request_duration_seconds": {"method", "route"},
    "agents_build_info": {"process", "version"},
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(process="worker", version="1.2.3")


def attempt(status: AttemptStatus = AttemptStatus.OK, *, cost_microusd: int | None = 500_000) -> ModelAttempt:
    usage = Usage(input_tokens=7, output_tokens=3, cost_microusd=cost_microusd)
    return ModelAttempt(
        provider="openai", model="m", status=status, usage=usage, duration_ms=40, started_at=datetime.now(UTC)
    )


def test_every_name_has_exactly_its_labels(metrics: Metrics) -> None:
    registered = {
        vars(collector)["_name"]: set(vars(collector)["_labelnames"])
        for collector in set(metrics.registry._collector_to_names)
        if hasattr(collector, "_labelnames")
    }

    assert {name: registered[name] for name in LABELS} == LABELS


def test_zeros_are_there_before_anything_happens(metrics: Metrics) -> None:
    body, _ = metrics.exposition("")

    assert b'agents_llm_tokens_total{type="input"} 0.0' in body
    assert b'agents_tasks_total{agent="none",status="failed"} 0.0' in body
    assert b'agents_build_info{process="worker",version="1.2.3"} 1.0' in body


def test_an_attempt_counts_its_call_tokens_cost_and_time(metrics: Metrics) -> None:
    metrics.observe_attempt(attempt())

    body, _ = metrics.exposition("")
    assert b'agents_llm_calls_total{model="m",provider="openai",status="ok"} 1.0' in body
    assert b'agents_llm_tokens_total{type="output"} 3.0' in body
    assert b'agents_llm_model_tokens_total{model="m",provider="openai",type="input"} 7.0' in body
    assert b'agents_llm_cost_usd_total{model="m",provider="openai"} 0.5' in body
    assert b'agents_llm_request_duration_seconds_count{model="m",provider="openai"} 1.0' in body


def test_an_attempt_without_a_price_is_counted_apart(metrics: Metrics) -> None:
    metrics.observe_attempt(attempt(cost_microusd=None))

    body, _ = metrics.exposition("")
    assert b'agents_llm_unpriced_calls_total{model="m",provider="openai"} 1.0' in body
    assert b"agents_llm_cost_usd_total{" not in body


def test_a_skipped_attempt_made_no_call(metrics: Metrics) -> None:
    metrics.observe_attempt(attempt(AttemptStatus.SKIPPED))

    body, _ = metrics.exposition("")
    assert b'agents_llm_calls_total{model="m",provider="openai",status="skipped"} 1.0' in body
    assert b"agents_llm_request_duration_seconds_count" not in body


def test_the_scraper_chooses_the_format(metrics: Metrics) -> None:
    _, plain = metrics.exposition("text/plain")
    body, open_metrics = metrics.exposition("application/openmetrics-text; version=1.0.0")

    assert plain.startswith("text/plain")
    assert open_metrics.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
