"""`python -m tests.benchmarks.guarantees [--store DIR]`: the time that the promises of docs/reliability.md cost.

Deep backlogs need a database that uses its indexes: `--store` names a folder whose `up.sh` starts one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from app.broker.channels import PRESENCE_TTL_SECONDS
from app.domain.identity import Tenant
from app.domain.run import EventName
from tests.benchmarks.load import submit_burst
from tests.benchmarks.own_database import own_database
from tests.benchmarks.table import Row, percentile, render
from tests.soak.stores import embedded_store, scripted_store
from tests.support.servers import Server
from tests.support.stack import Plan, Stack, running_stack
from tests.support.tasks import waiting_document

CODE = "Write a Python function that adds {number} to a number."
RUNNING = 50
POOL = 12
# As with the default, two thirds of a lease, the least that is left when a worker dies, last as long as its presence.
# With shorter leases the slots of dead workers would still count when their tasks come back, and more suspects would
# run.
POOL_LEASE_SECONDS = 1.5 * PRESENCE_TTL_SECONDS
CANCELS = 40
FLUSHED = 1_000
DEEP, SHALLOW, CLAIMED = 100_000, 100, 1_500
FLOOD = 10_000
REMOVED = 5_000
COPIES_OF_A_TASK = {"agent_runs": 4, "messages": 2, "logs": 5}
EARLY_TASKS, LATE_TASKS = 2_000, 20_000
BATCH = 1_000
STATISTICS_SECONDS = 5.0  # in which a database renews its statistics of the loaded documents
Figure = Callable[[Server], Row]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.guarantees", description=__doc__)
    parser.add_argument("--store", type=Path, help="a folder whose up.sh starts a MongoDB-compatible server")
    parser.add_argument(
        "figures", nargs="*", metavar="FIGURE", help=f"one of {', '.join(FIGURES)}; all if none is named"
    )
    chosen = parser.parse_args(arguments)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="ao-figures-") as folder:
        store = scripted_store(chosen.store) if chosen.store else embedded_store(Path(folder))
        with store as server:
            for name in chosen.figures or FIGURES:
                rows.append(FIGURES[name](server))
                print(render(rows[-1:]).splitlines()[-1], flush=True)
    print(render(rows))
    return 0


@contextmanager
def _stack(server: Server, *, workers: int = 1, simulator: Sequence[str] = (), **settings: str) -> Iterator[Stack]:
    """Starts a stack on a database of its own."""
    with own_database(server) as name:
        plan = Plan(workers=workers, simulator=simulator, settings={"MONGO_DB_NAME": name, **settings})
        with running_stack(plan, store=server) as stack:
            yield stack


def _read_times(stack: Stack, name: EventName, *, after: datetime) -> list[datetime]:
    """Reads the times of an event in all tasks after `after`, in order."""
    with stack.database() as db:
        found = db["tasks"].find({}, {"events": 1})
        times = [event["at"] for task in found for event in task["events"] if event["name"] == name.value]
    return sorted(at for at in times if at > after)


def _crash_to_running(lease_seconds: float, target: float) -> Figure:
    def measure(server: Server) -> Row:
        lease = f"{lease_seconds:g}"
        with _stack(server, workers=2, simulator=["--latency-ms", "2000"], AGENT_LEASE_SECONDS=lease) as stack:
            stack.parts["worker-2"].stop()  # the first worker, which is killed later, shall get all tasks
            for number in range(RUNNING):
                stack.submit(CODE.format(number=number))
            stack.wait_until(lambda: stack.calls()["calls"] >= RUNNING, seconds=30)
            stack.parts["worker-2"].start()
            killed_at = datetime.now(UTC)
            stack.kill("worker")
            claims: list[datetime] = []

            def all_claimed() -> bool:
                claims[:] = _read_times(stack, EventName.CLAIMED, after=killed_at)
                return len(claims) >= RUNNING

            stack.wait_until(all_claimed, seconds=120)
        seconds = [(at - killed_at).total_seconds() for at in claims]
        return Row(
            f"worker crash to task running elsewhere p95, lease {lease} s", percentile(seconds, 0.95), "s", target
        )

    return measure


def _loss_of_a_pool(server: Server) -> Row:
    """Compares the time of tasks that lost their worker twice, from their third claim on, with that of others."""
    simulator = ["--latency-ms", "2000"]
    lease = f"{POOL_LEASE_SECONDS:g}"
    with _stack(server, simulator=simulator, AGENT_WORKER_CONCURRENCY=str(POOL), AGENT_LEASE_SECONDS=lease) as stack:
        began = time.monotonic()
        for task_id in [stack.submit(CODE.format(number=number))["task_id"] for number in range(POOL)]:
            stack.wait(task_id)
        usual = time.monotonic() - began
        tasks = [stack.submit(CODE.format(number=number))["task_id"] for number in range(POOL)]
        killed_at = datetime.now(UTC)
        for kills in range(1, 3):
            _wait_for_claims(stack, kills * POOL, tasks)
            killed_at = datetime.now(UTC)
            stack.kill("worker")
            stack.parts["worker"].start()
        for task_id in tasks:
            stack.wait(task_id, seconds=120)
        first = _read_times(stack, EventName.CLAIMED, after=killed_at)[0]
        last = _read_times(stack, EventName.COMPLETED, after=killed_at)[-1]
    after_loss = (last - first).total_seconds()
    return Row(f"{POOL} tasks that lost their worker twice against {POOL} others", after_loss / usual, "times", 2.5)


def _wait_for_claims(stack: Stack, number: int, tasks: list[str]) -> None:
    def claimed() -> bool:
        with stack.database() as db:
            found = db["tasks"].find({"_id": {"$in": tasks}}, {"attempts": 1})
            return sum(int(task.get("attempts", 0)) for task in found) >= number

    stack.wait_until(claimed, seconds=60)


def _cancel_to_abort(server: Server) -> Row:
    """Measures the time until the model's server sees that the caller has closed the connection."""
    with _stack(server) as stack:
        stack.simulator.post("/simulator/faults", json={"fault": "hang"}).raise_for_status()
        tasks = [stack.submit(CODE.format(number=number))["task_id"] for number in range(CANCELS)]
        stack.wait_until(lambda: stack.calls()["calls"] >= CANCELS, seconds=30)
        cancelled_at: dict[str, float] = {}
        for task_id in tasks:
            cancelled_at[task_id] = time.time()
            stack.client.post(f"/v1/tasks/{task_id}/cancel").raise_for_status()
        for task_id in tasks:
            stack.wait(task_id)
        stack.wait_until(lambda: all(_call_of(stack, task_id)["ended_at"] for task_id in tasks), seconds=30)
        seconds = [_call_of(stack, task_id)["ended_at"] - cancelled_at[task_id] for task_id in tasks]
    return Row("cancel to model call aborted p95", percentile(seconds, 0.95), "s", 1)


def _call_of(stack: Stack, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.calls(task_id)["entries"][0]
    return found


def _longest_stall_after_flush(server: Server) -> Row:
    """Measures the longest time between two ends of tasks after Redis has lost everything."""
    with _stack(server, simulator=["--latency-ms", "100"]) as stack:
        waiting = {"status": "queued"}
        with stack.database() as db, Redis.from_url(stack.servers["broker"].url) as redis:
            _insert_waiting(db, FLUSHED + BATCH)  # the surplus runs before the flush, which then meets a busy worker
            stack.wait_until(lambda: db["tasks"].count_documents(waiting) <= FLUSHED, seconds=120)
            flushed_at = datetime.now(UTC)
            redis.flushall()
            stack.wait_until(lambda: db["tasks"].count_documents(waiting) == 0, seconds=120)
        ends = [flushed_at, *_read_times(stack, EventName.COMPLETED, after=flushed_at)]
    longest = max((later - earlier).total_seconds() for earlier, later in pairwise(ends))
    return Row(f"longest stall after FLUSHALL with {FLUSHED} queued", longest, "s", 10)


def _depth(server: Server) -> Row:
    """Compares the seconds for the same number of claims with a deep and with a shallow backlog."""
    with _stack(server) as stack:
        with stack.database() as db:
            _measure_claims(stack, db, SHALLOW)  # opens connections, starts threads and fills the planner's statistics
            shallow = _measure_claims(stack, db, SHALLOW)
            deep = _measure_claims(stack, db, DEEP)
        stack.kill("worker")  # it need not run the deep backlog
    return Row(f"time of {CLAIMED} claims at depth {DEEP} against depth {SHALLOW}", deep / shallow, "times", 1.1)


def _measure_claims(stack: Stack, db: Any, depth: int) -> float:
    """Measures the seconds from the first to the last of CLAIMED claims, while `depth` more tasks wait."""
    stack.parts["worker"].stop()
    _insert_waiting(db, CLAIMED + depth)
    time.sleep(STATISTICS_SECONDS)
    began = datetime.now(UTC)
    stack.parts["worker"].start()
    stack.wait_until(lambda: db["tasks"].count_documents({"status": "queued"}) <= depth, seconds=300)
    claims = _read_times(stack, EventName.CLAIMED, after=began)[:CLAIMED]
    return (claims[-1] - claims[0]).total_seconds()


def _removal(server: Server) -> Row:
    """Measures the time that the leader takes to remove a task with its copies, while many others wait."""
    with _stack(server, workers=0) as stack, stack.database() as db:
        _insert_waiting(db, DEEP)
        _insert_ended(db, REMOVED)
        time.sleep(STATISTICS_SECONDS)
        began = time.monotonic()
        db["tasks"].update_many({"status": "completed"}, {"$set": {"remove_at": datetime.now(UTC)}})
        stack.wait_until(lambda: db["tasks"].find_one({"status": "completed"}, {"_id": 1}) is None, seconds=600)
        milliseconds = (time.monotonic() - began) * 1000 / REMOVED
        copies = {name: db[name].count_documents({"text": {"$ne": None}}) for name in COPIES_OF_A_TASK}
    if any(copies.values()):
        raise RuntimeError(f"copies of removed tasks are left: {copies}")
    return Row(f"removal of a task beside {DEEP} that wait", milliseconds, "ms", 5)


def _insert_ended(db: Any, count: int) -> None:
    """Inserts completed tasks with their copies."""
    for begin in range(0, count, BATCH):
        numbers = range(begin, min(count, begin + BATCH))
        ended = [_ended_document(number) for number in numbers]
        db["tasks"].insert_many(ended, ordered=False)
        for name, copies in COPIES_OF_A_TASK.items():
            entries = [
                {"_id": f"{task['_id']}:{part}", "task_id": task["_id"], "at": task["created_at"], "text": "x" * 500}
                for task in ended
                for part in range(copies)
            ]
            db[name].insert_many(entries, ordered=False)


def _ended_document(number: int) -> dict[str, Any]:
    """Builds a completed task whose copies are made."""
    document = waiting_document(CODE.format(number=number)) | {"status": "completed"}
    del document["unprojected"]
    return document


def _fair_share(server: Server) -> Row:
    """Measures how long single tasks of one tenant wait beside another's flood, in durations of one task."""
    slots, latency_ms = 4, 500
    simulator = ["--latency-ms", str(latency_ms)]
    with _stack(server, simulator=simulator, AGENT_WORKER_CONCURRENCY=str(slots)) as stack:
        alone = [_run_one(stack, number)[1] for number in range(3)]
        with stack.database() as db:
            _insert_waiting(db, FLOOD, tenant="flood")
            stack.wait_until(lambda: db["tasks"].count_documents({"status": "processing"}) >= slots, seconds=60)
        waits = [_run_one(stack, number)[0] for number in range(10)]
    return Row(f"wait beside {FLOOD} tasks of another tenant, longest", max(waits) / min(alone), "task times", 2)


def _run_one(stack: Stack, number: int) -> tuple[float, float]:
    """Submits one task. Returns the seconds from its acceptance to its claim, and from there to its end."""
    task = stack.wait(stack.submit(CODE.format(number=number))["task_id"])
    created, started, completed = (
        datetime.fromisoformat(task[name]) for name in ("created_at", "started_at", "completed_at")
    )
    return (started - created).total_seconds(), (completed - started).total_seconds()


def _memory(server: Server) -> Row:
    with _stack(server) as stack:
        asyncio.run(submit_burst(stack.api_url, EARLY_TASKS))
        early = _resident_bytes(stack)
        asyncio.run(submit_burst(stack.api_url, LATE_TASKS - EARLY_TASKS))
        late = _resident_bytes(stack)
    return Row(
        f"resident memory of a worker after {LATE_TASKS} tasks against {EARLY_TASKS}", late / early, "times", 1.1
    )


def _resident_bytes(stack: Stack) -> int:
    process = stack.parts["worker"].process
    if process is None:
        raise RuntimeError("the worker is not running")
    return int(psutil.Process(process.pid).memory_info().rss)


def _insert_waiting(db: Any, count: int, *, tenant: str = "default") -> None:
    """Inserts waiting tasks as the API would store them."""
    for begin in range(0, count, BATCH):
        numbers = range(begin, min(count, begin + BATCH))
        waiting = [waiting_document(CODE.format(number=number), tenant=Tenant(tenant)) for number in numbers]
        db["tasks"].insert_many(waiting, ordered=False)


FIGURES: dict[str, Figure] = {
    "crash": _crash_to_running(3, 5),
    "crash-default": _crash_to_running(30, 40),
    "pool-loss": _loss_of_a_pool,
    "cancel": _cancel_to_abort,
    "flush": _longest_stall_after_flush,
    "fair-share": _fair_share,
    "depth": _depth,
    "removal": _removal,
    "memory": _memory,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
