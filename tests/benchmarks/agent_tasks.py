"""`python -m tests.benchmarks.agent_tasks [--store DIR] [--objects N]`: thousands of AgentTasks at once.

A real control plane, one operator, one API, one worker and the simulator share the machine. The baseline is the same
number of tasks submitted over REST on the same stack, so the ratio is the cost of Kubernetes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from app.domain.task import TERMINAL
from tests.benchmarks.load import submit_burst
from tests.benchmarks.own_database import own_database
from tests.benchmarks.process import cpu_seconds, resident_megabytes
from tests.benchmarks.scale_up import measure_scale_up_seconds
from tests.benchmarks.table import Row, percentile, render
from tests.cluster.control_plane import ControlPlane, find_binaries, running_control_plane
from tests.cluster.operators import build_operator, grant, running
from tests.soak.stores import embedded_store, scripted_store
from tests.support.kubernetes import agent_task
from tests.support.servers import Server
from tests.support.stack import Part, Plan, Stack, running_stack

NAMESPACE = "load"
OBJECTS = 5_100  # as many as in the published figures that docs/performance.md compares with
SINGLES = 20
AT_ONCE = 32
SAMPLE_SECONDS = 0.5
POLL_SECONDS = 1.0
IDLE_SECONDS = 60.0
LONGEST_SECONDS = 1_800.0
RATE, MEMORY_MB, IDLE_PERCENT = 30, 128, 1  # the targets; the memory is the operator's limit in the chart
OTHER_WRITES = {("agenttasks", "", "PATCH"), ("agenttasks", "", "DELETE"), ("events", "", "POST")}
LABEL = "agentorchestrator.dev/finished"
OBJECTS_PATH = f"/apis/agentorchestrator.dev/v1alpha1/namespaces/{NAMESPACE}/agenttasks"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.agent_tasks", description=__doc__)
    parser.add_argument("--store", type=Path, help="a folder whose up.sh starts a MongoDB-compatible server")
    parser.add_argument("--objects", type=int, default=OBJECTS, help=f"how many at once (default {OBJECTS:,})")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ao-objects-") as folder:
        store = scripted_store(chosen.store) if chosen.store else embedded_store(Path(folder))
        with store as server, _running_benchmark(server, Path(folder)) as benchmark:
            rows = benchmark.run(chosen.objects)
    print(render(rows, against="REST alone"))
    return 0


@contextmanager
def _running_benchmark(server: Server, folder: Path) -> Iterator[AgentTaskBenchmark]:
    with own_database(server) as name:
        plan = Plan(settings={"MONGO_DB_NAME": name, "AGENT_WORKER_CONCURRENCY": "64"})
        with running_control_plane(find_binaries()) as plane, running_stack(plan, store=server) as stack:
            plane.install_crd()
            plane.run("create", "namespace", NAMESPACE)
            grant(plane, NAMESPACE)
            with running(build_operator(plane, stack, NAMESPACE, folder)) as operator:
                yield AgentTaskBenchmark(plane, stack, operator, folder)


@dataclass(frozen=True)
class Writes:
    """The write requests that the API server received, except those that create the benchmark's objects."""

    statuses: int
    others: int


@dataclass(frozen=True)
class Wave:
    """The cost of a wave, from the first object created to the last one finished."""

    seconds: float
    writes: Writes
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class AgentTaskBenchmark:
    """A control plane with one operator, beside a stack with one worker."""

    plane: ControlPlane
    stack: Stack
    operator: Part
    folder: Path

    def run(self, count: int) -> list[Row]:
        started_mb = resident_megabytes(self.operator)
        scaled_up = measure_scale_up_seconds(self.plane, self.stack, self.folder)
        over_rest = asyncio.run(submit_burst(self.stack.api_url, count)).seconds
        print(f"REST alone: {over_rest:.1f} s, {count / over_rest:.1f} per second", flush=True)
        submitted, shown = asyncio.run(self._measure_singles())
        waves = []
        for name in ("first", "second"):
            waves.append(asyncio.run(self._run_wave(name, count)))
            self._check_completed(SINGLES + count * len(waves))
        first, second = waves
        idle = self._measure_idle_share()
        target_seconds = count / RATE
        return [
            Row("operator's memory at its start (PSS)", started_mb, "MB"),
            Row("object created → task submitted, p95, idle", percentile(submitted, 0.95), "s", target=0.5),
            Row("task ended → status shows it, p95, idle", percentile(shown, 0.95), "s", target=2),
            Row(f"backlog → replicas patched, p95 of {len(scaled_up)}", percentile(scaled_up, 0.95), "s", target=2),
            Row(f"{count:,} at once, until all are completed", first.seconds, "s", target_seconds, over_rest),
            Row(f"{count:,} more", second.seconds, "s", target_seconds, over_rest),
            Row("operator's peak memory, first wave (PSS)", first.peak_mb, "MB", MEMORY_MB),
            Row("operator's peak memory, second wave (PSS)", second.peak_mb, "MB", MEMORY_MB),
            Row("status writes per task", first.writes.statuses / count, ""),
            Row("other writes per task (finalizer, label, events)", first.writes.others / count, "", target=3),
            Row("operator's CPU per task", first.cpu_seconds / count * 1000, "ms"),
            Row(f"operator's CPU, idle with {2 * count:,} finished objects", idle * 100, "%", IDLE_PERCENT),
        ]

    async def _run_wave(self, name: str, count: int) -> Wave:
        writes, cpu = self._read_writes(), cpu_seconds(self.operator)
        async with self._session() as session:
            finished = asyncio.create_task(self._wait_until_finished(session, name, count, before=self._count_ended()))
            measured = asyncio.create_task(self._measure_peak(finished))
            began = time.monotonic()
            room = asyncio.Semaphore(AT_ONCE)

            async def create(number: int) -> None:
                async with room:
                    await self._create(session, f"{name}-{number}", number)

            await asyncio.gather(*(create(number) for number in range(count)))
            print(f"{name} wave: {count:,} objects created in {time.monotonic() - began:.1f} s", flush=True)
            await asyncio.wait_for(finished, LONGEST_SECONDS)
            seconds = time.monotonic() - began
            peak_mb = await measured
        print(f"{name} wave: all completed in {seconds:.1f} s, {count / seconds:.1f} per second", flush=True)
        now = self._read_writes()
        since = Writes(now.statuses - writes.statuses, now.others - writes.others)
        return Wave(seconds, since, cpu_seconds(self.operator) - cpu, peak_mb)

    async def _wait_until_finished(self, session: aiohttp.ClientSession, wave: str, count: int, *, before: int) -> None:
        """Waits until all objects of the wave have the label of finished ones.

        To list all objects is expensive for the API server, the scarcest part of the machine. So they are listed only
        after their tasks have ended in the database. `before` is the number of tasks that had ended before the wave.
        """
        headers = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        # Version 0 is answered from the API server's cache, without a read from etcd.
        query = {"labelSelector": LABEL, "resourceVersion": "0"}
        done = 0
        while done < count:
            await asyncio.sleep(POLL_SECONDS)
            if await asyncio.to_thread(self._count_ended) < before + count:
                continue
            async with session.get(OBJECTS_PATH, params=query, headers=headers) as answer:
                answer.raise_for_status()
                found = json.loads(await answer.read())["items"]
            done = sum(body["metadata"]["name"].startswith(wave) for body in found)

    def _count_ended(self) -> int:
        with self.stack.database() as db:
            return int(db["tasks"].count_documents({"tenant": NAMESPACE, "status": {"$in": sorted(TERMINAL)}}))

    async def _measure_peak(self, until: asyncio.Task[None]) -> float:
        peak_mb = 0.0
        while not until.done():
            peak_mb = max(peak_mb, await asyncio.to_thread(resident_megabytes, self.operator))
            await asyncio.wait([until], timeout=SAMPLE_SECONDS)
        return peak_mb

    async def _measure_singles(self) -> tuple[list[float], list[float]]:
        """Creates objects one by one. Returns the seconds to each submission, and those from each end to the status."""
        submitted, shown = [], []
        async with self._session() as session:
            for number in range(SINGLES):
                version, name = await self._read_version(session), f"single-{number}"
                began, is_submitted = time.monotonic(), False
                await self._create(session, name, number)
                async for body in self._watch(session, version):
                    status = body.get("status") or {}
                    if body["metadata"]["name"] != name:
                        continue
                    if not is_submitted and "taskId" in status:
                        is_submitted = True
                        submitted.append(time.monotonic() - began)
                    if status.get("phase") == "Completed":
                        shown.append(time.time() - self._read_end(status["taskId"]))
                        break
        return submitted, shown

    def _read_end(self, task_id: str) -> float:
        task = self.stack.client.get(f"/v1/tasks/{task_id}", headers={"X-Tenant": NAMESPACE}).json()
        return datetime.fromisoformat(task["completed_at"]).timestamp()

    async def _create(self, session: aiohttp.ClientSession, name: str, number: int) -> None:
        body = agent_task(name, f"Write a Python function that adds {number} to a number.")
        async with session.post(OBJECTS_PATH, json=body) as answer:
            answer.raise_for_status()

    async def _read_version(self, session: aiohttp.ClientSession) -> str:
        async with session.get(OBJECTS_PATH, params={"limit": "1"}) as answer:
            return str((await answer.json())["metadata"]["resourceVersion"])

    async def _watch(self, session: aiohttp.ClientSession, version: str) -> AsyncIterator[dict[str, Any]]:
        """Yields each object that is created or changed after that version."""
        timeout = aiohttp.ClientTimeout(total=None)
        watching = {"watch": "true", "resourceVersion": version}
        async with session.get(OBJECTS_PATH, params=watching, timeout=timeout) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"]

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            self.plane.url,
            headers={"Authorization": f"Bearer {self.plane.token}"},
            connector=aiohttp.TCPConnector(ssl=False),  # the control plane signs its own certificate
            # A watch line holds a whole object. aiohttp refuses lines longer than twice this size (default 64 KiB).
            read_bufsize=2**20,
        )

    def _read_writes(self) -> Writes:
        """Reads the API server's own counters."""
        text = self.plane.run("get", "--raw", "/metrics").stdout
        statuses = others = 0
        for labels, count in re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", text, re.MULTILINE):
            request = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            kind, verb = (request["resource"], request["subresource"]), request["verb"]
            if kind == ("agenttasks", "status"):
                statuses += int(float(count))
            elif (*kind, verb) in OTHER_WRITES:
                others += int(float(count))
        return Writes(statuses, others)

    def _check_completed(self, count: int) -> None:
        """Raises RuntimeError unless all are completed, each by a task of its own, and no finalizer is left."""
        bodies = self.plane.get("agenttasks", "-n", NAMESPACE)["items"]
        phases = Counter(body["status"]["phase"] for body in bodies)
        if phases != {"Completed": count}:
            raise RuntimeError(f"{count} should be completed: {phases}")
        held = [body["metadata"]["name"] for body in bodies if body["metadata"].get("finalizers")]
        tasks = {body["status"]["taskId"] for body in bodies}
        with self.stack.database() as db:
            stored = db["tasks"].count_documents({"tenant": NAMESPACE})
        if held or len(tasks) != count or stored != count:
            raise RuntimeError(f"{len(held)} finalizers left, {len(tasks)} tasks shown, {stored} stored for {count}")
        print(f"checked: {count:,} completed, {stored:,} tasks, no finalizer left", flush=True)

    def _measure_idle_share(self) -> float:
        before = cpu_seconds(self.operator)
        time.sleep(IDLE_SECONDS)  # the length of the measurement
        return (cpu_seconds(self.operator) - before) / IDLE_SECONDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
