"""`python -m tests.benchmarks.flood [--objects N] [--store DIR --reached-at ADDRESS]`: thousands of AgentTasks at once.

Real pods run on the cluster of the end-to-end tests (`E2E_CLUSTER`); the operator's pod has the memory limit of the
chart. The baseline is a first, small flood.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.task import TERMINAL
from tests.benchmarks.real_pods import installed_for, parse_options
from tests.benchmarks.table import Row, render
from tests.e2e.installation import Installation, interruptions
from tests.e2e.load import TEXT
from tests.support.invariants import Document
from tests.support.waiting import wait_for

OBJECTS = 5_100  # as many as in the published figures that docs/performance.md compares with
SMALL = 300
MEMORY_MB = 128  # the memory limit of the operator in the chart
LONGEST_SECONDS = 3_600.0
VALUES: Mapping[str, Any] = {"worker": {"autoscaling": {"mode": "none"}}}
# The kernel's own peak of the operator, which is the largest process of its pod: a scrape could miss it.
PEAK_KILOBYTES = """
import glob
lines = [line for path in glob.glob('/proc/[0-9]*/status') for line in open(path) if line.startswith('VmHWM:')]
print(max(int(line.split()[1]) for line in lines))
"""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flood", description=__doc__)
    parser.add_argument("--objects", type=int, default=OBJECTS, help=f"how many at once (default {OBJECTS:,})")
    chosen = parse_options(parser, arguments)
    with installed_for("flood", VALUES, chosen) as installation:
        small, small_seconds = _flood(installation, "small", SMALL)
        many, seconds = _flood(installation, "many", chosen.objects)
        (operator,) = installation.ready("operator")
        peak_mb = int(installation.execute(operator, PEAK_KILOBYTES).stdout) / 1024
        restarts = sum(installation.restarts().values())
    interrupted = len(interruptions(small + many))
    rows = [
        Row(f"{chosen.objects:,} at once, until all are completed", seconds, "s"),
        Row("tasks per second", chosen.objects / seconds, "", baseline=SMALL / small_seconds),
        Row("tasks interrupted", interrupted, "", target=0),
        Row("operator's peak memory (resident)", peak_mb, "MB", target=MEMORY_MB),
        Row("containers restarted", restarts, "", target=0),
    ]
    print(render(rows, against=f"{SMALL} at once"))
    return 1 if interrupted or restarts else 0


def _flood(installation: Installation, prefix: str, count: int) -> tuple[list[Document], float]:
    """Creates objects. Returns their tasks, and the seconds from the first object to the end of the last task."""
    names = [f"{prefix}-{number}" for number in range(count)]
    with installation.database() as db:
        ended = {"status": {"$in": sorted(TERMINAL)}}
        all_ended = db["tasks"].count_documents(ended) + count
        began = time.monotonic()
        for number, name in enumerate(names):
            installation.create(name, TEXT.format(number=number))
        print(f"{count:,} objects created in {time.monotonic() - began:.0f} s", flush=True)
        wait_for(
            lambda: db["tasks"].count_documents(ended) == all_ended,
            seconds=LONGEST_SECONDS,
            every=1,
            what="the end of all tasks",
        )
    seconds = time.monotonic() - began
    print(f"{count:,} tasks ended in {seconds:.0f} s", flush=True)
    return installation.reckon(names, seconds=300), seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
