"""One wave: tasks go in, processes and servers are killed, everything ends, and is looked at."""

from __future__ import annotations

import asyncio
import random
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.domain.task import UNFINISHED
from tests.soak.clients import submit_all
from tests.soak.plan import SoakPlan, Wave
from tests.support.invariants import BATCH, Document, violations
from tests.support.stack import Stack

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 600.0
STILL_OPEN = {"status": {"$in": sorted(UNFINISHED)}}


class Clients(threading.Thread):
    """Submits the wave's tasks beside everything else; `accepted` grows, the tasks' ids by their keys."""

    def __init__(self, api_url: str, keys: Sequence[str]) -> None:
        super().__init__(name="clients", daemon=True)
        self._api_url = api_url
        self._keys = keys
        self.accepted: dict[str, str] = {}

    @property
    def done(self) -> bool:
        return len(self.accepted) == len(self._keys)

    def run(self) -> None:
        asyncio.run(submit_all(self._api_url, self._keys, self.accepted))


def run_wave(stack: Stack, plan: SoakPlan, number: int) -> Wave:
    """Raises AssertionError where tasks do not end; what else is wrong stands in the wave's violations."""
    began = time.monotonic()
    size = plan.wave_sizes()[number]
    stack.simulator.delete("/simulator/calls").raise_for_status()
    prefix = uuid.uuid4().hex
    clients = Clients(stack.api_url, [f"{prefix}-{task}" for task in range(size)])
    clients.start()
    dice = random.Random(f"{plan.seed}:{number}:who")
    kills = _strike_while_it_works(stack, clients, plan.kills_of_wave(number), dice=dice)
    task_ids = list(clients.accepted.values())
    documents = _read(stack, task_ids)
    return Wave(
        number=number,
        tasks=len(set(task_ids)),
        seconds=round(time.monotonic() - began, 1),
        ends=dict(Counter(map(_end, documents))),
        kills=dict(kills),
        reruns=sum(document.get("attempts", 0) - 1 for document in documents),
        crashes=sum(document.get("crashes", 0) for document in documents),
        calls=stack.calls()["calls"],
        calls_recorded=sum(_recorded_calls(document) for document in documents),
        violations=_violations(stack, task_ids, prefix),
        commit=_commit(),
    )


def finish_what_is_left(stack: Stack) -> int:
    """Waits for the ends of tasks that a soak left behind when it was broken off; gives how many there were.

    What they called, another simulator has counted. Raises AssertionError where one did not end as it should.
    """
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    with stack.database() as db:
        found = [task["_id"] for task in db["tasks"].find(STILL_OPEN, {"_id": 1})]
        while (left := db["tasks"].count_documents(STILL_OPEN)) or not _projected(db):
            assert time.monotonic() < give_up_at, f"{left} of {len(found)} tasks left behind have not ended"
            time.sleep(LOOK_SECONDS)
    broken = violations(stack, found, orphans=False, counted=False)
    assert not broken, "\n".join(broken)
    return len(found)


def _violations(stack: Stack, task_ids: Sequence[str], prefix: str) -> list[str]:
    found = violations(stack, task_ids, orphans=False)
    with stack.database() as db:
        made = db["tasks"].count_documents({"idempotency_key": {"$regex": f"^{prefix}-"}})
    if len(set(task_ids)) != len(task_ids) or made != len(task_ids):
        found.append(f"{len(task_ids)} keys made {made} tasks, {len(set(task_ids))} were answered")
    return found


def _commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty"],  # noqa: S607  whichever git is there
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return told.stdout.strip() or "unknown"


def _end(document: Document) -> str:
    """The status, and why it failed if it did."""
    return document["error"]["type"] if document["status"] == "failed" else str(document["status"])


def _recorded_calls(document: Document) -> int:
    return sum(len(step["attempts"]) for step in document["steps"].values())


def _strike_while_it_works(
    stack: Stack, clients: Clients, kills: Sequence[tuple[int, str]], *, dice: random.Random
) -> Counter[str]:
    """Kills each victim when so many tasks have ended; gives the kills when all have ended and are projected."""
    left, struck = list(kills), Counter[str]()
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    with stack.database() as db:
        while True:
            _revive_parts(stack)
            unfinished = db["tasks"].count_documents(STILL_OPEN)
            if left and len(clients.accepted) - unfinished >= left[0][0]:
                victim = left[0][1]
                if _strike(stack, victim, dice):
                    left.pop(0)
                    struck[victim] += 1
            elif clients.done and not left and unfinished == 0 and _projected(db):
                return struck
            assert clients.is_alive() or clients.done, "the clients gave up"
            assert time.monotonic() < give_up_at, f"{unfinished} tasks have not ended, {len(left)} kills are to come"
            time.sleep(LOOK_SECONDS)


def _projected(db: Any) -> bool:
    return db["tasks"].find_one({"unprojected": True}, {"_id": 1}) is None


def _revive_parts(stack: Stack) -> None:
    """Starts again what has died, as a supervisor would."""
    for part in stack.parts.values():
        if not part.alive:
            part.launch()


def _strike(stack: Stack, victim: str, dice: random.Random) -> bool:
    """SIGKILL; False where nobody is ready to be hit. A server comes back at once, a part with the next look."""
    if victim in stack.servers:
        stack.kill(victim)
        stack.start(victim)
        return True
    ready = [name for name, part in stack.parts.items() if name.partition("-")[0] == victim and part.ready]
    if ready:
        stack.kill(dice.choice(ready))
    return bool(ready)


def _read(stack: Stack, task_ids: Sequence[str]) -> list[Document]:
    fields = {"status": 1, "attempts": 1, "crashes": 1, "steps": 1, "error": 1}
    with stack.database() as db:
        return [
            document
            for begin in range(0, len(task_ids), BATCH)
            for document in db["tasks"].find({"_id": {"$in": list(task_ids[begin : begin + BATCH])}}, fields)
        ]
