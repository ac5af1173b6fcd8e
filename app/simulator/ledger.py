"""The ledger of calls to the simulator, by task and by step.

A test proves with it that nothing was called twice. Calls of the newest `TASK_LIMIT` tasks are kept, totals of all.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from app.simulator.prompt import Json

TASK_LIMIT = 50_000
OPEN = "open"
OK = "ok"
RECORDED = "recorded"


@dataclass(slots=True)
class Call:
    """One request. `fingerprint` is a checksum of its body; `outcome` is `ok`, `recorded`, a fault, or another end.

    `began_at` and `ended_at` are seconds since 1970, the latter 0 while the call is open.
    """

    number: int
    provider: str
    endpoint: str
    model: str
    task_id: str
    request_id: str
    step: str
    fingerprint: str
    began_at: float = field(default_factory=time.time)
    ended_at: float = 0.0
    outcome: str = OPEN
    input_tokens: int = 0
    output_tokens: int = 0

    def to_json(self) -> Json:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass
class Ledger:
    """All calls since the start, or since `clear`."""

    calls: int = 0
    by_task: dict[str, list[Call]] = field(default_factory=dict)
    by_model: Counter[str] = field(default_factory=Counter)
    by_endpoint: Counter[str] = field(default_factory=Counter)
    by_outcome: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0

    def begin(
        self, *, provider: str, endpoint: str, model: str, task_id: str, request_id: str, step: str, fingerprint: str
    ) -> Call:
        self.calls += 1
        call = Call(self.calls, provider, endpoint, model, task_id, request_id, step, fingerprint)
        if task_id not in self.by_task and len(self.by_task) >= TASK_LIMIT:
            del self.by_task[next(iter(self.by_task))]  # a dict keeps its order: the first one is the oldest
        if task_id:
            self.by_task.setdefault(task_id, []).append(call)
        self.by_model[f"{provider}:{model}"] += 1
        self.by_endpoint[endpoint] += 1
        return call

    def finish(self, call: Call, outcome: str, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Records how the call ended; only the first outcome counts."""
        if call.outcome != OPEN:
            return
        call.outcome = outcome
        call.ended_at = time.time()
        call.input_tokens = input_tokens
        call.output_tokens = output_tokens
        self.by_outcome[outcome] += 1
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def clear(self) -> None:
        self.calls = self.input_tokens = self.output_tokens = 0
        for store in (self.by_task, self.by_model, self.by_endpoint, self.by_outcome):
            store.clear()

    def of_task(self, task_id: str) -> Json:
        calls = self.by_task.get(task_id, [])
        return {
            "task_id": task_id,
            "calls": len(calls),
            "by_step": Counter(call.step or call.endpoint for call in calls),
            "by_outcome": Counter(call.outcome for call in calls),
            "input_tokens": sum(call.input_tokens for call in calls),
            "output_tokens": sum(call.output_tokens for call in calls),
            "entries": [call.to_json() for call in calls],
        }

    def summary(self) -> Json:
        """Returns totals; `repeated` are the tasks in which a step, or a body, was answered well twice."""
        return {
            "calls": self.calls,
            "by_model": self.by_model,
            "by_endpoint": self.by_endpoint,
            "by_outcome": self.by_outcome,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "tasks": {task_id: len(calls) for task_id, calls in self.by_task.items()},
            "repeated": [task_id for task_id, calls in self.by_task.items() if _repeats(calls)],
        }


def _repeats(calls: list[Call]) -> bool:
    # By step if the caller names one: two steps may send the same body. A failed call may be repeated.
    keys = [(call.endpoint, call.step or call.fingerprint) for call in calls if call.outcome == OK]
    return len(set(keys)) < len(keys)
