"""The time from the first task of a backlog to the Deployment's new number of replicas.

Slow tasks occupy the slots of the one worker first, so later tasks have to wait. No pod ever starts: the measurement
covers the way from the queue through the autoscaler to the API server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.lab import script
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operators import build_operator, grant, running
from tests.cluster.podlet import WORKER, replicas, worker_deployment
from tests.support.stack import Stack
from tests.support.waiting import wait_for

NAMESPACE = "scaling"
SLOTS = 64
WAITING = 16
SAMPLES = 20
POLICY = (
    "max_replicas=8 utilisation=1 arrival_headroom=1 up_period_seconds=1 drain_target_seconds=1 down_window_seconds=900"
)
TEXT = "Write a Python function that adds {number} to a number."


def measure_scale_up_seconds(plane: ControlPlane, stack: Stack, folder: Path) -> list[float]:
    """Measures the seconds of each sample. The stack must have one idle worker with `SLOTS` slots."""
    with _autoscaler(plane, stack, folder), script(stack, {"fault": "slow-3000"}):
        return [_measure_once(plane, stack) for _ in range(SAMPLES)]


@contextmanager
def _autoscaler(plane: ControlPlane, stack: Stack, folder: Path) -> Iterator[None]:
    plane.run("create", "namespace", NAMESPACE)
    grant(plane, NAMESPACE)
    deployment = json.dumps(worker_deployment(1, SLOTS))
    plane.run("create", "-n", NAMESPACE, "-f", "-", stdin=deployment)
    settings = {"AGENT_OPERATOR_WORKER_DEPLOYMENT": f"{NAMESPACE}/{WORKER}", "AGENT_AUTOSCALER_POLICY": POLICY}
    with running(build_operator(plane, stack, NAMESPACE, folder, name="autoscaler", settings=settings)):
        yield


def _measure_once(plane: ControlPlane, stack: Stack) -> float:
    for number in range(SLOTS):
        stack.submit(TEXT.format(number=number))
    wait_for(lambda: _running(stack) == SLOTS, what="a busy worker")
    began = time.monotonic()
    for number in range(WAITING):
        stack.submit(TEXT.format(number=number))
    wait_for(lambda: replicas(plane, NAMESPACE) > 1, what="more replicas")
    seconds = time.monotonic() - began
    wait_for(lambda: _running(stack) == 0, what="the end of the tasks")
    plane.run("scale", f"deployment/{WORKER}", "-n", NAMESPACE, "--replicas=1")
    # Otherwise an earlier decision could raise the replicas of the next sample.
    wait_for(lambda: _decided_on_one(stack), what="a decision on one replica")
    return seconds


def _running(stack: Stack) -> int:
    workers = stack.client.get("/v1/system/metrics").json()["workers"]
    return sum(worker["running"] for worker in workers)


def _decided_on_one(stack: Stack) -> bool:
    latest = stack.client.get("/v1/system/autoscaler").json()["decisions"][0]
    return bool(latest["replicas"] == latest["desired"] == 1)
