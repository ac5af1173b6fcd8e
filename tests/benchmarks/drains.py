"""`python -m tests.benchmarks.drains [--drains N] [--store DIR --reached-at ADDRESS]`: workers are removed under load.

Real pods run on the cluster of the end-to-end tests (`E2E_CLUSTER`). The Deployment's annotations switch the policy
between one worker and several. Every pod is drained before it is removed, while tasks run on it. The baseline is the
duration of the same tasks while no worker is removed.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Sequence

from tests.benchmarks.real_pods import installed_for, parse_options
from tests.benchmarks.table import Row, percentile, render
from tests.chart.rendering import NAME
from tests.e2e.installation import Installation, interruptions
from tests.e2e.load import load
from tests.support.invariants import Document
from tests.support.waiting import wait_for

DRAINS = 1_000
MANY = 8
PACE = 3.0  # tasks per second
REST_SECONDS = 30.0
SCALE_SECONDS = 180.0
WRONG_VICTIMS = "agents_autoscaler_wrong_victims_total"
METRICS = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9110/metrics').read().decode())"
PREFIX = "autoscaler.agentorchestrator.dev"
VALUES = {
    "worker": {
        "concurrency": 32,
        "resources": {"requests": {"cpu": "20m"}},
        "autoscaling": {
            "policy": {
                "up_period_seconds": 1,
                "up_pods": MANY,
                "down_window_seconds": 1,
                "down_pods": MANY,
                "down_share": 1,
            }
        },
    },
    "dev": {"simulator": {"latencyMs": 1500}},  # slow enough that tasks still run when their worker is drained
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.drains", description=__doc__)
    parser.add_argument("--drains", type=int, default=DRAINS, help=f"how many (default {DRAINS:,})")
    chosen = parse_options(parser, arguments)
    with installed_for("drains", VALUES, chosen) as installation:
        at_rest = _run_at_rest(installation)
        began = time.monotonic()
        drains, tasks = _run_under_drains(installation, chosen.drains)
        seconds = time.monotonic() - began
        undrained = _read_wrong_victims(installation)
    interrupted = [task for task in tasks if interruptions([task])]
    for task in interrupted:
        print(task["_id"], [(event["name"], f"{event['at']:%H:%M:%S}", event["detail"]) for event in task["events"]])
    usual, under_drains = _durations(at_rest), _durations(tasks)
    rows = [
        Row("workers drained and removed", drains, ""),
        Row("duration of these drains", seconds, "s"),
        Row("tasks during that time", len(tasks), ""),
        Row("tasks interrupted", len(interrupted), "", target=0),
        Row("pods removed in place of a drained one", undrained, "", target=0),
        Row("task created → done, median", statistics.median(under_drains), "s", baseline=statistics.median(usual)),
        Row("task created → done, p95", percentile(under_drains, 0.95), "s", baseline=percentile(usual, 0.95)),
    ]
    print(render(rows, against="at rest"))
    return 1 if interrupted else 0


def _read_wrong_victims(installation: Installation) -> float:
    """Reads the operator's count of pods that Kubernetes removed in place of a drained one."""
    (operator,) = installation.ready("operator")
    (count,) = re.findall(rf"^{WRONG_VICTIMS} (\S+)$", installation.execute(operator, METRICS).stdout, re.MULTILINE)
    return float(count)


def _run_at_rest(installation: Installation) -> list[Document]:
    with load(installation, "rest", pace=PACE) as steady:
        time.sleep(REST_SECONDS)  # the length of the measurement
    return installation.reckon(steady.created)


def _run_under_drains(installation: Installation, wanted: int) -> tuple[int, list[Document]]:
    """Removes at least `wanted` workers. Returns how many were removed, and the tasks of that time."""
    drains = 0
    with load(installation, "load", pace=PACE) as steady:
        while drains < wanted:
            _scale_to(installation, MANY)
            before = set(installation.ready("worker"))
            _scale_to(installation, 1)
            drains += len(before - set(installation.ready("worker")))
            print(f"{drains:,} drained, {len(steady.created):,} tasks submitted", flush=True)
    return drains, installation.reckon(steady.created, seconds=300)


def _scale_to(installation: Installation, count: int) -> None:
    """Fixes the number of workers by equal limits of the policy, and waits until exactly so many are ready."""
    annotations = [f"{PREFIX}/{name}-replicas={count}" for name in ("min", "max")]
    deployment = f"deployment/{NAME}-worker"
    installation.kubectl.run("annotate", "--overwrite", deployment, "-n", installation.namespace, *annotations)
    wait_for(
        lambda: len(installation.pods("worker")) == len(installation.ready("worker")) == count,
        seconds=SCALE_SECONDS,
        what=f"{count} workers",
    )


def _durations(tasks: Sequence[Document]) -> list[float]:
    return [(task["completed_at"] - task["created_at"]).total_seconds() for task in tasks]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
