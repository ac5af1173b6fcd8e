"""`python -m tests.benchmarks`: the figures of docs/performance.md on a task's cost, measured on this machine."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from app.cli.embedded.store_server import StoreServer
from tests.benchmarks.bare_celery import QUEUE, TWO_CALLS, build_bare
from tests.benchmarks.hardware import describe_hardware
from tests.benchmarks.load import submit_burst, submit_steadily
from tests.benchmarks.measured_stack import WARM_UP_TASKS, choose_database, running_measured_stack, wait_for_projections
from tests.benchmarks.process import cpu_seconds, measured_cpu, resident_megabytes
from tests.benchmarks.table import Row, percentile, render
from tests.support.servers import Server, broker_server
from tests.support.stack import Part, Stack, running_stack


def main() -> int:
    database = choose_database(__doc__)
    print(f"{describe_hardware()}, {database.kind}", flush=True)
    baseline = _bare_celery(200)
    print(render([*_instant(database), *_two_calls(database, baseline), *_slow_calls(database)]))
    return 0


class BurstCost(NamedTuple):
    """The CPU milliseconds per task of each process, and the seconds until all tasks of the burst are read."""

    worker_ms: float
    api_ms: float
    store_ms: float
    seconds: float


def _measure_burst(stack: Stack, count: int) -> BurstCost:
    """Measures a burst of tasks, with their projections."""
    asyncio.run(submit_burst(stack.api_url, WARM_UP_TASKS))
    wait_for_projections(stack)
    processes: list[Part | Server] = [stack.parts["worker"], stack.parts["api"], stack.servers["store"]]
    before = [cpu_seconds(process) for process in processes]
    load = asyncio.run(submit_burst(stack.api_url, count))
    wait_for_projections(stack)
    used = [cpu_seconds(process) - seconds for process, seconds in zip(processes, before, strict=True)]
    worker_ms, api_ms, store_ms = (seconds * 1000 / count for seconds in used)
    return BurstCost(worker_ms, api_ms, store_ms, load.seconds)


def _instant(database: StoreServer) -> Iterator[Row]:
    with running_measured_stack(database) as stack:
        part = stack.parts["worker"]
        part.stop()
        part.module = ["tests.benchmarks.instant_worker"]
        part.start()
        burst = _measure_burst(stack, 500)
    yield Row("worker CPU per task, model in the process", burst.worker_ms, "ms", 6.7)


def _two_calls(database: StoreServer, baseline: tuple[float, float]) -> Iterator[Row]:
    bare_ms, bare_seconds = baseline
    with running_measured_stack(database) as stack:
        idle = resident_megabytes(stack.parts["worker"])
        whole = sum(resident_megabytes(part) for name, part in stack.parts.items() if name != "simulator")
        stores = sum(_store_megabytes(stack))
        asyncio.run(submit_burst(stack.api_url, 4))
        quiet = asyncio.run(submit_steadily(stack.api_url, per_second=20, count=200))
        yield Row("POST accept p95 at 20/s", percentile(quiet.accept_ms, 0.95), "ms", 15)
        idle_load = asyncio.run(submit_steadily(stack.api_url, per_second=4, count=40))
        first_call_ms = idle_load.to_first_call_ms()
        yield Row("accept to first model call p50", percentile(first_call_ms, 0.5), "ms", 15)
        yield Row("accept to first model call p95", percentile(first_call_ms, 0.95), "ms", 40)
        burst = _measure_burst(stack, 500)
        yield Row("worker CPU per task, two HTTP calls", burst.worker_ms, "ms", 12.5, bare_ms)
        yield Row("API and worker CPU per task", burst.worker_ms + burst.api_ms, "ms", 16.0, bare_ms)
        yield Row("store CPU per task", burst.store_ms, "ms", 9.0, bare_ms)
        yield Row("500 tasks until all are read", burst.seconds, "s", 6.0, bare_seconds * 2.5)  # bare Celery runs 200
        yield Row("idle worker, memory", idle, "MB", 180)
        yield Row("idle system (API, worker, Valkey, store), memory", whole + stores, "MB", 320)


def _store_megabytes(stack: Stack) -> Iterator[float]:
    for server in stack.servers.values():
        if server.process is not None:
            yield psutil.Process(server.process.pid).memory_full_info().pss / 2**20


def _slow_calls(database: StoreServer) -> Iterator[Row]:
    with running_measured_stack(database, simulator=["--latency-ms", "1000"]) as stack:
        asyncio.run(submit_burst(stack.api_url, 4))  # the first tasks import and connect what later ones share
        before = resident_megabytes(stack.parts["worker"])
        load, peak = _burst_with_peak(stack, 200)
        yield Row("200 tasks with two 1 s calls until all are read", load, "s", 4.5)
        yield Row("memory per task in flight (200 at once)", (peak - before) / 200, "MB", 0.3)


def _burst_with_peak(stack: Stack, count: int) -> tuple[float, float]:
    """Measures the seconds of the burst, and the worker's largest memory during it."""

    async def run() -> tuple[float, float]:
        load = asyncio.create_task(submit_burst(stack.api_url, count))
        peak = 0.0
        while not load.done():
            peak = max(peak, resident_megabytes(stack.parts["worker"]))
            await asyncio.wait([load], timeout=0.25)
        return (await load).seconds, peak

    return asyncio.run(run())


@contextmanager
def _bare_worker(redis_url: str, simulator_url: str) -> Iterator[Part]:
    environment = {
        **os.environ,
        "REDIS_URL": redis_url,
        "OPENAI_API_KEY": "simulated",
        "OPENAI_BASE_URL": f"{simulator_url}/v1",
    }
    # It has no probe. The warm-up waits for its first results, and so for its start.
    part = Part("bare", ["tests.benchmarks.bare_celery"], environment, "", Path(os.devnull))
    part.launch()
    try:
        yield part
    finally:
        part.stop()


def _bare_celery(count: int) -> tuple[float, float]:
    """Measures the CPU milliseconds per task of bare Celery's worker, and the seconds until all results are read."""
    with running_stack() as stack, broker_server() as broker, _bare_worker(broker.url, stack.simulator_url) as part:
        bare = build_bare(broker.url)

        def run(number: int) -> None:
            sent = [bare.send_task(TWO_CALLS, (f"task {n}",), queue=QUEUE) for n in range(number)]
            for result in sent:
                result.get(timeout=120)
                result.forget()

        run(WARM_UP_TASKS)
        with measured_cpu(part) as used:
            began = time.perf_counter()
            run(count)
            seconds = time.perf_counter() - began
        gc.collect()  # results call their backend when they are deleted, so that must happen before it closes
        bare.close()
    return used.seconds * 1000 / count, seconds


if __name__ == "__main__":
    sys.exit(main())
