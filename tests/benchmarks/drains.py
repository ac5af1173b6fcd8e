"""`python -m tests.benchmarks.drains [--drains N] [--store DIR --reached-at ADDRESS]`: workers go under load.

Real pods, on the cluster of the end-to-end tests (`E2E_CLUSTER`). The Deployment's annotations swing the policy between
one worker and several; every pod that goes has been drained first, while tasks run on it. The baseline is how long the
same tasks take where no worker goes.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Sequence

from tests.benchmarks.outside_store import parse, store_values
from tests.benchmarks.table import Row, percentile, render
from tests.chart.rendering import NAME, over
from tests.e2e.installation import Installation, installed, interruptions
from tests.e2e.load import load
from tests.e2e.provider import cluster_of, named_provider
from tests.support.invariants import Document
from tests.support.waiting import wait_for

DRAINS = 1_000
MANY = 8
PACE = 3.0
REST_SECONDS = 30.0
SWING_SECONDS = 180.0
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
    "dev": {"simulator": {"latencyMs": 1500}},
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.drains", description=__doc__)
    parser.add_argument("--drains", type=int, default=DRAINS, help=f"how many (default {DRAINS:,})")
    chosen = parse(parser, arguments)
    with (
        cluster_of(named_provider()) as kubectl,
        store_values(chosen) as stores,
        installed(kubectl, "drains", over(VALUES, stores)) as installation,
    ):
        at_rest = _at_rest(installation)
        began = time.monotonic()
        drains, tasks = _under_drains(installation, chosen.drains)
        seconds = time.monotonic() - began
        undrained = _wrong_victims(installation)
    interrupted = [task for task in tasks if interruptions([task])]
    for task in interrupted:
        print(task["_id"], [(event["name"], f"{event['at']:%H:%M:%S}", event["detail"]) for event in task["events"]])
    usual, now = _durations(at_rest), _durations(tasks)
    rows = [
        Row("workers drained and removed", drains, ""),
        Row("in", seconds, "s"),
        Row("others that went in their place, undrained", undrained, "", target=0),
        Row("tasks meanwhile", len(tasks), ""),
        Row("of these interrupted", len(interrupted), "", target=0),
        Row("from created to done, median", statistics.median(now), "s", baseline=statistics.median(usual)),
        Row("from created to done, p95", percentile(now, 0.95), "s", baseline=percentile(usual, 0.95)),
    ]
    print(render(rows, against="at rest"))
    return 1 if interrupted else 0


def _wrong_victims(installation: Installation) -> float:
    """As the operator counts them: pods that Kubernetes removed in place of those that had been drained."""
    (operator,) = installation.ready("operator")
    (count,) = re.findall(rf"^{WRONG_VICTIMS} (\S+)$", installation.execute(operator, METRICS).stdout, re.MULTILINE)
    return float(count)


def _at_rest(installation: Installation) -> list[Document]:
    with load(installation, "rest", pace=PACE) as steady:
        time.sleep(REST_SECONDS)  # the length of the measurement
    return installation.reckon(steady.created)


def _under_drains(installation: Installation, wanted: int) -> tuple[int, list[Document]]:
    """How many workers went, and the tasks of that time."""
    drains = 0
    with load(installation, "load", pace=PACE) as steady:
        while drains < wanted:
            _swing(installation, MANY)
            there = set(installation.ready("worker"))
            _swing(installation, 1)
            drains += len(there - set(installation.ready("worker")))
            print(f"{drains:,} drained, {len(steady.created):,} tasks handed in", flush=True)
    return drains, installation.reckon(steady.created, seconds=300)


def _swing(installation: Installation, count: int) -> None:
    """So many workers, no more and no less."""
    annotations = [f"{PREFIX}/{name}-replicas={count}" for name in ("min", "max")]
    deployment = f"deployment/{NAME}-worker"
    installation.kubectl.run("annotate", "--overwrite", deployment, "-n", installation.namespace, *annotations)
    wait_for(
        lambda: len(installation.pods("worker")) == len(installation.ready("worker")) == count,
        seconds=SWING_SECONDS,
        what=f"{count} workers",
    )


def _durations(tasks: Sequence[Document]) -> list[float]:
    return [(task["completed_at"] - task["created_at"]).total_seconds() for task in tasks]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
