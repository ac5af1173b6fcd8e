"""One wave: tasks are submitted, processes and servers are killed, Redis is full, everything ends and is checked."""

from __future__ import annotations

import asyncio
import random
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import OutOfMemoryError

from app.domain.task import UNFINISHED
from tests.soak.clients import submit_all
from tests.soak.plan import FULL_REDIS, SoakPlan, Wave
from tests.support.invariants import BATCH, Document, violations
from tests.support.stack import Stack

CHECK_SECONDS = 0.2
PATIENCE_SECONDS = 600.0
STILL_OPEN = {"status": {"$in": sorted(UNFINISHED)}}
AT_LENGTH = "at great length"
TEXT = "Write a Python function that adds {number} to a number{at_length}."
LARGE_BYTES = 1_048_576
LARGE_ANSWER = {"fault": f"verbose-{LARGE_BYTES + 1_000}", "text": AT_LENGTH}


class Clients(threading.Thread):
    """A thread that submits the wave's tasks. `accepted` has the tasks' ids by their keys, and grows."""

    def __init__(self, api_url: str, texts: Mapping[str, str]) -> None:
        super().__init__(name="clients", daemon=True)
        self._api_url = api_url
        self._texts = texts
        self.accepted: dict[str, str] = {}

    @property
    def done(self) -> bool:
        return len(self.accepted) == len(self._texts)

    def run(self) -> None:
        asyncio.run(submit_all(self._api_url, self._texts, self.accepted))


def run_wave(stack: Stack, plan: SoakPlan, number: int) -> Wave:
    """Runs the wave. Raises AssertionError if tasks do not end; the wave's violations have everything else."""
    began = time.monotonic()
    stack.simulator.delete("/simulator/calls").raise_for_status()
    prefix = uuid.uuid4().hex
    clients = Clients(stack.api_url, _texts(plan, prefix, plan.wave_sizes()[number]))
    clients.start()
    dice = random.Random(f"{plan.seed}:{number}:who")
    struck = _strike_while_it_works(stack, clients, plan, number=number, dice=dice)
    fills = struck.pop(FULL_REDIS, 0)
    task_ids = list(clients.accepted.values())
    documents = _read(stack, task_ids)
    return Wave(
        number=number,
        tasks=len(set(task_ids)),
        seconds=round(time.monotonic() - began, 1),
        ends=dict(Counter(map(_end, documents))),
        kills=dict(struck),
        fills=fills,
        large=sum(map(_is_large, documents)),
        reruns=sum(document.get("attempts", 0) - 1 for document in documents),
        crashes=sum(document.get("crashes", 0) for document in documents),
        calls=stack.calls()["calls"],
        calls_recorded=sum(_recorded_calls(document) for document in documents),
        violations=_violations(stack, task_ids, prefix) + _short_results(documents),
        commit=_commit(),
    )


def let_answers_be_large(stack: Stack) -> None:
    """Has the simulator answer with `LARGE_BYTES` where a task wishes it at length."""
    stack.simulator.post("/simulator/faults", json=LARGE_ANSWER).raise_for_status()


def finish_what_is_left(stack: Stack) -> int:
    """Waits for the ends of tasks that a broken-off soak left behind; returns how many there were.

    Another simulator counted their calls. Raises AssertionError if one did not end as it should.
    """
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    with stack.database() as db:
        found = [task["_id"] for task in db["tasks"].find(STILL_OPEN, {"_id": 1})]
        while (left := db["tasks"].count_documents(STILL_OPEN)) or not _projected(db):
            assert time.monotonic() < give_up_at, f"{left} of {len(found)} tasks left behind have not ended"
            time.sleep(CHECK_SECONDS)
    broken = violations(stack, found, orphans=False, counted=False)
    assert not broken, "\n".join(broken)
    return len(found)


def _texts(plan: SoakPlan, prefix: str, size: int) -> dict[str, str]:
    """Builds the texts of a wave's tasks by their idempotency keys."""
    return {
        f"{prefix}-{number}": TEXT.format(number=number, at_length=f" {AT_LENGTH}" if plan.is_large(number) else "")
        for number in range(1, size + 1)
    }


def _is_large(document: Document) -> bool:
    return int((document.get("result") or {}).get("size_bytes") or 0) >= LARGE_BYTES


def _short_results(documents: Sequence[Document]) -> list[str]:
    """Returns a sentence for each completed task whose result is not as large as its text wishes."""
    wished = [document for document in documents if AT_LENGTH in document["task"] and document["status"] == "completed"]
    return [f"{document['_id']}: its result is short" for document in wished if not _is_large(document)]


def _violations(stack: Stack, task_ids: Sequence[str], prefix: str) -> list[str]:
    found = violations(stack, task_ids, orphans=False)
    with stack.database() as db:
        made = db["tasks"].count_documents({"idempotency_key": {"$regex": f"^{prefix}-"}})
    if len(set(task_ids)) != len(task_ids) or made != len(task_ids):
        found.append(f"{len(task_ids)} keys made {made} tasks, {len(set(task_ids))} were answered")
    return found


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty"],  # noqa: S607  any git on the path
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return described.stdout.strip() or "unknown"


def _end(document: Document) -> str:
    """Returns the status, or the error's code if the task failed."""
    return document["error"]["type"] if document["status"] == "failed" else str(document["status"])


def _recorded_calls(document: Document) -> int:
    return sum(len(step["attempts"]) for step in document["steps"].values())


def _strike_while_it_works(
    stack: Stack, clients: Clients, plan: SoakPlan, *, number: int, dice: random.Random
) -> Counter[str]:
    """Strikes with each fault of the wave after its number of ended tasks; counts them when all tasks are projected."""
    left, struck = plan.faults_of_wave(number), Counter[str]()
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    with stack.database() as db:
        while True:
            _revive_parts(stack)
            unfinished = db["tasks"].count_documents(STILL_OPEN)
            if left and len(clients.accepted) - unfinished >= left[0][0]:
                fault = left[0][1]
                if _strike(stack, fault, dice, fill_seconds=plan.fill_seconds):
                    left.pop(0)
                    struck[fault] += 1
            elif clients.done and not left and unfinished == 0 and _projected(db):
                return struck
            assert clients.is_alive() or clients.done, "the clients gave up"
            assert time.monotonic() < give_up_at, f"{unfinished} tasks have not ended, {len(left)} faults are to come"
            time.sleep(CHECK_SECONDS)


def _projected(db: Any) -> bool:
    return db["tasks"].find_one({"unprojected": True}, {"_id": 1}) is None


def _revive_parts(stack: Stack) -> None:
    """Restarts parts that have died, as a supervisor would."""
    for part in stack.parts.values():
        if not part.alive:
            part.launch()


def _strike(stack: Stack, victim: str, dice: random.Random, *, fill_seconds: float) -> bool:
    """Sends SIGKILL, or fills Redis; returns False if no victim is ready.

    A server that was killed restarts at once, a part with the next check.
    """
    if victim == FULL_REDIS:
        _fill_redis(stack, fill_seconds)
        return True
    if victim in stack.servers:
        stack.kill(victim)
        stack.start(victim)
        return True
    ready = [name for name, part in stack.parts.items() if name.partition("-")[0] == victim and part.ready]
    if ready:
        stack.kill(dice.choice(ready))
    return bool(ready)


def _fill_redis(stack: Stack, seconds: float) -> None:
    """Lets Redis refuse all writes for these seconds. Raises RuntimeError if it takes one."""
    until = time.monotonic() + seconds
    with Redis.from_url(stack.servers["broker"].url) as redis:
        redis.config_set("maxmemory", "1mb")
        try:
            redis.set("soak:probe", "1")
        except OutOfMemoryError:
            while time.monotonic() < until:
                _revive_parts(stack)
                time.sleep(CHECK_SECONDS)
        else:
            raise RuntimeError("Redis takes writes, so it is not full")
        finally:
            redis.config_set("maxmemory", "0")


def _read(stack: Stack, task_ids: Sequence[str]) -> list[Document]:
    fields = dict.fromkeys(("task", "status", "attempts", "crashes", "steps", "error", "result.size_bytes"), 1)
    with stack.database() as db:
        return [
            document
            for begin in range(0, len(task_ids), BATCH)
            for document in db["tasks"].find({"_id": {"$in": list(task_ids[begin : begin + BATCH])}}, fields)
        ]
