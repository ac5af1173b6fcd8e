"""The worker's own port: metrics for Prometheus, health and readiness for the kubelet."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from app.errors import ConfigurationError
from app.telemetry.metrics import WorkerMetrics
from tests.support.servers import HOST, free_port
from worker.probe_server import ProbeServer
from worker.vitals import STALL_SECONDS, Signs


class EventLoopSigns:
    silent_seconds = 0.5
    store_away = False
    started = True

    def signs(self) -> Signs:
        return Signs(self.silent_seconds, hub_silent_seconds=0, idle_beside_queue_seconds=0, store_away=self.store_away)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def loop(port: int) -> Iterator[EventLoopSigns]:
    loop = EventLoopSigns()
    server = ProbeServer(
        HOST,
        port,
        metrics=WorkerMetrics(version="test"),
        signs=loop.signs,
        ready=lambda: loop.started,
        poll_seconds=0.02,
    )
    yield loop
    server.close()


def test_a_worker_is_healthy_until_its_loop_falls_silent(loop: EventLoopSigns, port: int) -> None:
    healthy = httpx.get(f"http://{HOST}:{port}/health")
    loop.silent_seconds = STALL_SECONDS
    stalled = httpx.get(f"http://{HOST}:{port}/health")

    assert (healthy.status_code, healthy.json()["status"]) == (200, "ok")
    assert (stalled.status_code, stalled.json()["status"]) == (503, "loop_stalled")


def test_a_worker_without_a_database_is_not_restarted(loop: EventLoopSigns, port: int) -> None:
    loop.store_away = True

    answer = httpx.get(f"http://{HOST}:{port}/health")

    assert (answer.status_code, answer.json()["status"]) == (200, "store_away")
    assert answer.json()["store_away"] is True


def test_a_worker_that_no_store_has_answered_yet_is_alive_and_not_ready(loop: EventLoopSigns, port: int) -> None:
    loop.started = False

    alive, ready = (httpx.get(f"http://{HOST}:{port}/{what}") for what in ("health", "ready"))

    assert (alive.status_code, ready.status_code) == (200, 503)
    assert ready.json()["starting"] is True


def test_a_worker_that_loses_a_store_stays_ready(loop: EventLoopSigns, port: int) -> None:
    loop.store_away = True

    assert httpx.get(f"http://{HOST}:{port}/ready").status_code == 200


def test_metrics_are_served_and_other_paths_are_not(loop: EventLoopSigns, port: int) -> None:
    metrics = httpx.get(f"http://{HOST}:{port}/metrics")

    assert "agents_worker_slots" in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain")
    assert httpx.get(f"http://{HOST}:{port}/other").status_code == 404


def test_a_taken_port_is_reported_with_its_setting(loop: EventLoopSigns, port: int) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_METRICS_PORT"):
        ProbeServer(HOST, port, metrics=WorkerMetrics(version="test"), signs=EventLoopSigns().signs, ready=lambda: True)
