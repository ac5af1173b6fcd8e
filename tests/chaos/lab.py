"""The tools of a fault's story: a stack whose processes may misbehave on request, and the reckoning at the end.

A fault is registered with the safety rules that it needs. The suite runs every fault with the product as it is, and
then once more for each of these rules with the rule switched off; then the story has to fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.task import TERMINAL
from tests.chaos.switches import Switch
from tests.support.invariants import SEARCH, Document, violations
from tests.support.stack import Link, Plan, Stack, running_stack

LEASE_SECONDS = 5.0
CODE = "Write a Python function that adds {number} to a number."
ARTICLE = "Write a short article about the tides of {number} seas."
USUAL = {
    "AGENT_LEASE_SECONDS": str(LEASE_SECONDS),
    "AGENT_BREAKER_FAILURES": "1000",
    "AGENT_HTTP_MAX_RETRIES": "1",
}
# A due time that no test reaches.
NEXT_YEAR = (datetime.now(UTC) + timedelta(days=365)).isoformat()
_CHECK_SECONDS = 0.1


@dataclass(frozen=True)
class Lab:
    """One run of one fault. `off` is the rule that is switched off in all APIs and workers, if any."""

    off: Switch | None = None

    def stack(
        self,
        *,
        workers: int = 1,
        apis: int = 1,
        settings: Mapping[str, str] | None = None,
        simulator: Sequence[str] = (),
        links: Sequence[Link] = (),
        worker: Sequence[str] = (),
        second_worker: Sequence[str] = (),
        api: Sequence[str] = (),
    ) -> AbstractContextManager[Stack]:
        """Starts a stack. `worker`, `second_worker` and `api` are options of `tests.chaos.process`.

        The second worker takes `second_worker` in place of `worker`.
        """
        modules = {}
        broken = () if self.off is None else ("--switch-off", self.off.value)
        for name, options in (("worker", worker), ("worker-2", second_worker), ("api", api)):
            if options or (broken and name != "worker-2"):
                modules[name] = ["tests.chaos.process", name.partition("-")[0], *options, *broken]
        return running_stack(
            Plan(
                workers=workers,
                apis=apis,
                settings={**USUAL, **(settings or {})},
                simulator=simulator,
                modules=modules,
                links=links,
            )
        )


Story = Callable[[Lab, float], None]


@dataclass(frozen=True)
class Fault:
    """A story and the length of its fault in `seconds`, or another size that the story defines.

    `needs` are the rules without which the story ends badly, each with a pattern of the failure. A `long` fault runs
    in `make chaos` alone.
    """

    story: Story
    seconds: float
    needs: Mapping[Switch, str]
    long: bool

    @property
    def name(self) -> str:
        size = f"-{self.seconds:g}" if self.seconds else ""
        return f"{self.story.__name__}{size}"


FAULTS: list[Fault] = []


def fault(
    needs: Mapping[Switch, str], quick: Sequence[float] = (), long: Sequence[float] = ()
) -> Callable[[Story], Story]:
    """Registers a story once for each size. The rules are switched off with the first size only."""

    def register(story: Story) -> Story:
        sizes = [(seconds, False) for seconds in quick] + [(seconds, True) for seconds in long]
        for number, (seconds, is_long) in enumerate(sizes or [(0.0, False)]):
            FAULTS.append(Fault(story, seconds, needs if number == 0 else {}, is_long))
        return story

    return register


def submit_many(stack: Stack, count: int, text: str = CODE, **fields: Any) -> list[str]:
    return [stack.submit(text.format(number=number), **fields)["task_id"] for number in range(count)]


def sit_through(seconds: float) -> None:
    """Sleeps for the length of a fault, which is no wait for a condition."""
    time.sleep(seconds)


def wait_for_calls(stack: Stack, count: int) -> None:
    """Waits until `count` model calls have begun; searches do not count."""

    def begun() -> bool:
        calls = stack.calls()
        return bool(calls["calls"] - calls["by_endpoint"].get(SEARCH, 0) >= count)

    stack.wait_until(begun, seconds=60)


def reckon(stack: Stack, task_ids: Sequence[str], *, seconds: float = 30, skew_seconds: float = 0) -> list[Document]:
    """Waits until all tasks have ended and are projected, checks every invariant, and returns the documents in order.

    `skew_seconds` is how far the workers' clocks are ahead.
    """
    documents = _ended(stack, task_ids, seconds)
    broken = violations(stack, task_ids, skew_seconds=skew_seconds)
    assert not broken, "\n".join(broken[:20])
    return documents


def _ended(stack: Stack, task_ids: Sequence[str], seconds: float) -> list[Document]:
    give_up_at = time.monotonic() + seconds
    with stack.database() as db:
        while True:
            documents = {task["_id"]: task for task in db["tasks"].find({"_id": {"$in": list(task_ids)}})}
            open_tasks = [task for task in documents.values() if task["status"] not in TERMINAL]
            unprojected = [task for task in documents.values() if task.get("unprojected")]
            if not open_tasks and not unprojected and len(documents) == len(set(task_ids)):
                return [documents[task_id] for task_id in task_ids]
            assert time.monotonic() < give_up_at, (
                f"of {len(set(task_ids))} tasks {len(documents)} exist, {len(open_tasks)} did not end and "
                f"{len(unprojected)} are not projected after {seconds} s: {[_state(task) for task in open_tasks[:5]]}"
            )
            time.sleep(_CHECK_SECONDS)


def _state(task: Document) -> str:
    events = " ".join(event["name"].removeprefix("task_") for event in task["events"])
    return f"{task['_id']} {task['status']} ({events})"


def count_with_steps(stack: Stack, task_ids: Sequence[str], *, steps: int = 1) -> int:
    """Counts the tasks that have at least `steps` steps in their journal."""
    with stack.database() as db:
        found = db["tasks"].find({"_id": {"$in": list(task_ids)}}, {"steps": 1})
        return sum(len(task["steps"]) >= steps for task in found)


def statuses(documents: Sequence[Document]) -> set[str]:
    return {document["status"] for document in documents}


@contextmanager
def script(stack: Stack, rule: Mapping[str, Any]) -> Iterator[None]:
    """Applies a fault of the simulator for as long as the body runs."""
    stack.simulator.post("/simulator/faults", json=dict(rule)).raise_for_status()
    try:
        yield
    finally:
        stack.simulator.delete("/simulator/faults").raise_for_status()
