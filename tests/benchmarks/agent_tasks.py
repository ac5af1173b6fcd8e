"""`python -m tests.benchmarks.agent_tasks [--store DIR] [--objects N]`: thousands of AgentTasks at once.

A real control plane, one operator, one API, one worker and the simulator share the machine. The baseline is the same
number of tasks handed in over REST, on the same stack: what Kubernetes adds.
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
from pymongo import MongoClient

from app.domain.task import TERMINAL
from tests.benchmarks.load import burst
from tests.benchmarks.process import cpu_seconds, resident_megabytes
from tests.benchmarks.scale_up import scale_up_seconds
from tests.benchmarks.table import Row, percentile, render
from tests.cluster.control_plane import ControlPlane, find_binaries, running_control_plane
from tests.cluster.operators import build_operator, grant
from tests.soak.stores import embedded_store, scripted_store
from tests.support.kubernetes import agent_task
from tests.support.servers import Server
from tests.support.stack import Part, Plan, Stack, running_stack

NAMESPACE = "load"
OBJECTS = 5_100
SINGLES = 20
AT_ONCE = 32
SAMPLE_SECONDS = 0.5
LOOK_SECONDS = 1.0
IDLE_SECONDS = 60.0
LONGEST_SECONDS = 1_800.0
RATE, MEMORY_MB, IDLE_PERCENT = 30, 128, 1
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
        with store as server, _bench(server, Path(folder)) as bench:
            rows = bench.run(chosen.objects)
    print(render(rows, against="REST alone"))
    return 0


@contextmanager
def _bench(server: Server, folder: Path) -> Iterator[Bench]:
    name = f"objects_{int(time.time())}"
    plan = Plan(settings={"MONGO_DB_NAME": name, "AGENT_WORKER_CONCURRENCY": "64"})
    try:
        with running_control_plane(find_binaries()) as plane, running_stack(plan, store=server) as stack:
            plane.install_crd()
            plane.run("create", "namespace", NAMESPACE)
            grant(plane, NAMESPACE)
            operator = build_operator(plane, stack, NAMESPACE, folder)
            operator.start()
            try:
                yield Bench(plane, stack, operator, folder)
            finally:
                operator.stop()
    finally:
        with MongoClient[dict[str, Any]](server.url) as client:
            client.drop_database(name)


@dataclass(frozen=True)
class Writes:
    """What the API server was asked to write since it began, but for the objects that the bench created."""

    statuses: int
    others: int


@dataclass(frozen=True)
class Wave:
    """What a wave took, from the first object created to the last one finished."""

    seconds: float
    writes: Writes
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Bench:
    plane: ControlPlane
    stack: Stack
    operator: Part
    folder: Path

    def run(self, count: int) -> list[Row]:
        started_mb = resident_megabytes(self.operator)
        scaled_up = scale_up_seconds(self.plane, self.stack, self.folder)
        over_rest = asyncio.run(burst(self.stack.api_url, count)).seconds
        print(f"over REST alone: {over_rest:.1f} s, {count / over_rest:.1f} a second", flush=True)
        submitted, shown = asyncio.run(self._singles())
        waves = []
        for name in ("first", "second"):
            waves.append(asyncio.run(self._wave(name, count)))
            self._check(SINGLES + count * len(waves))
        first, second = waves
        idle = self._idle_share()
        wanted = count / RATE
        return [
            Row("operator's memory at its start (PSS)", started_mb, "MB"),
            Row("object created → task submitted, p95", percentile(submitted, 0.95), "s", target=0.5),
            Row("task ended → status says so, p95", percentile(shown, 0.95), "s", target=2),
            Row("backlog → replicas patched, p95", percentile(scaled_up, 0.95), "s", target=2),
            Row(f"{count:,} at once, until all are completed", first.seconds, "s", wanted, over_rest),
            Row(f"{count:,} more", second.seconds, "s", wanted, over_rest),
            Row("operator's peak memory, first wave (PSS)", first.peak_mb, "MB", MEMORY_MB),
            Row("operator's peak memory, second wave (PSS)", second.peak_mb, "MB", MEMORY_MB),
            Row("status writes per task", first.writes.statuses / count, ""),
            Row("other writes per task", first.writes.others / count, "", target=3),
            Row("operator's CPU per task", first.cpu_seconds / count * 1000, "ms"),
            Row(f"operator's CPU, idle beside {2 * count:,} finished objects", idle * 100, "%", IDLE_PERCENT),
        ]

    async def _wave(self, name: str, count: int) -> Wave:
        writes, cpu = self._writes(), cpu_seconds(self.operator)
        async with self._session() as session:
            finished = asyncio.create_task(self._finished(session, name, count, before=self._ended()))
            measured = asyncio.create_task(self._peak(finished))
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
        print(f"{name} wave: all done in {seconds:.1f} s, {count / seconds:.1f} a second", flush=True)
        now = self._writes()
        since = Writes(now.statuses - writes.statuses, now.others - writes.others)
        return Wave(seconds, since, cpu_seconds(self.operator) - cpu, peak_mb)

    async def _finished(self, session: aiohttp.ClientSession, wave: str, count: int, *, before: int) -> None:
        """Until all objects of the wave have the label of those that have finished.

        The API server, which lists them, is what there is least of: it is asked when the tasks have ended.
        """
        headers = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        query = {"labelSelector": LABEL, "resourceVersion": "0"}
        done = 0
        while done < count:
            await asyncio.sleep(LOOK_SECONDS)
            if await asyncio.to_thread(self._ended) < before + count:
                continue
            async with session.get(OBJECTS_PATH, params=query, headers=headers) as answer:
                answer.raise_for_status()
                found = json.loads(await answer.read())["items"]
            done = sum(body["metadata"]["name"].startswith(wave) for body in found)

    def _ended(self) -> int:
        with self.stack.database() as db:
            ended = {"$in": sorted(TERMINAL)}
            return int(db["tasks"].count_documents({"tenant": NAMESPACE, "status": ended}))

    async def _peak(self, until: asyncio.Task[None]) -> float:
        peak_mb = 0.0
        while not until.done():
            peak_mb = max(peak_mb, await asyncio.to_thread(resident_megabytes, self.operator))
            await asyncio.wait([until], timeout=SAMPLE_SECONDS)
        return peak_mb

    async def _singles(self) -> tuple[list[float], list[float]]:
        """Objects one after the other: seconds until each was submitted, and from its end until it was shown."""
        submitted, shown = [], []
        async with self._session() as session:
            for number in range(SINGLES):
                version, name = await self._version(session), f"single-{number}"
                began, heard = time.monotonic(), None
                await self._create(session, name, number)
                async for body in self._watch(session, version):
                    status = body.get("status") or {}
                    if body["metadata"]["name"] != name:
                        continue
                    if heard is None and "taskId" in status:
                        heard = time.monotonic() - began
                        submitted.append(heard)
                    if status.get("phase") == "Completed":
                        shown.append(time.time() - self._ended_at(status["taskId"]))
                        break
        return submitted, shown

    def _ended_at(self, task_id: str) -> float:
        task = self.stack.client.get(f"/v1/tasks/{task_id}", headers={"X-Tenant": NAMESPACE}).json()
        return datetime.fromisoformat(task["completed_at"]).timestamp()

    async def _create(self, session: aiohttp.ClientSession, name: str, number: int) -> None:
        body = agent_task(name, f"Write a Python function that adds {number} to a number.")
        async with session.post(OBJECTS_PATH, json=body) as answer:
            answer.raise_for_status()

    async def _version(self, session: aiohttp.ClientSession) -> str:
        async with session.get(OBJECTS_PATH, params={"limit": "1"}) as answer:
            return str((await answer.json())["metadata"]["resourceVersion"])

    async def _watch(self, session: aiohttp.ClientSession, version: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """What has changed since that version."""
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
            connector=aiohttp.TCPConnector(ssl=False),
            read_bufsize=2**20,
        )

    def _writes(self) -> Writes:
        """From the API server's own counters."""
        text = self.plane.run("get", "--raw", "/metrics").stdout
        statuses = others = 0
        for labels, count in re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", text, re.MULTILINE):
            asked = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            kind, verb = (asked["resource"], asked["subresource"]), asked["verb"]
            if kind == ("agenttasks", "status"):
                statuses += int(float(count))
            elif (*kind, verb) in OTHER_WRITES:
                others += int(float(count))
        return Writes(statuses, others)

    def _check(self, count: int) -> None:
        """All completed, each by a task of its own, and nothing holds an object."""
        bodies = self.plane.get("agenttasks", "-n", NAMESPACE)["items"]
        phases = Counter(body["status"]["phase"] for body in bodies)
        if phases != {"Completed": count}:
            raise RuntimeError(f"not all are completed: {phases}")
        held = [body["metadata"]["name"] for body in bodies if body["metadata"].get("finalizers")]
        tasks = {body["status"]["taskId"] for body in bodies}
        with self.stack.database() as db:
            stored = db["tasks"].count_documents({"tenant": NAMESPACE})
        if held or len(tasks) != count or stored != count:
            raise RuntimeError(f"{len(held)} finalizers left, {len(tasks)} tasks shown, {stored} stored for {count}")
        print(f"checked: {count:,} completed, {stored:,} tasks, no finalizer left", flush=True)

    def _idle_share(self) -> float:
        before = cpu_seconds(self.operator)
        time.sleep(IDLE_SECONDS)  # the length of the measurement
        return (cpu_seconds(self.operator) - before) / IDLE_SECONDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
