"""The journal of one task under one claim: the steps of earlier runs, those of this run, and their writes.

Steps that must not be lost are written at once; others wait for the next write. A write that gets no answer is
repeated, the same write, until the database answers: an outage delays a run, it does not end it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from app.domain.message import Message
from app.domain.task import Routing, Spending, Step, Task
from app.domain.usage import NO_USAGE, ModelAttempt
from app.errors import ClaimLost, Postponed
from app.ports import ClaimRepository, RunUpdate
from worker.leases import HeldClaim
from worker.patience import until_answered


class AttemptMeter:
    """The model attempts of the step `key`. Implements `app.agents.base.StepMeter`."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._attempts: list[ModelAttempt] = []

    def add(self, attempt: ModelAttempt) -> None:
        self._attempts.append(attempt)

    def attempts(self) -> Sequence[ModelAttempt]:
        return self._attempts


# Nodes of one graph may run side by side, each in an asyncio task with a context of its own: a context variable keeps
# their attempts apart, which an attribute of the journal could not.
_meter: ContextVar[AttemptMeter | None] = ContextVar("attempt_meter", default=None)


class TaskJournal:
    """The journal of one claim. Implements `app.agents.base.Journal`."""

    def __init__(self, task: Task, held: HeldClaim, claims: ClaimRepository) -> None:
        self._task = task
        self._held = held
        self._claims = claims
        self._known = dict(task.steps)
        self._pending: list[Step] = []
        self._writing = asyncio.Lock()  # see `flush`
        self._occurrences: Counter[str] = Counter()
        self._routing: Routing | None = None
        self._agent_type: str | None = None
        self._history: Sequence[Message] | None = None
        self.usage = task.usage
        self.agent_name = task.selected_agent
        self.spending: Spending | None = None

    def next_key(self, node: str) -> str:
        self._occurrences[node] += 1
        return f"{node}#{self._occurrences[node]}"

    def find(self, key: str, input_hash: str) -> Step | None:
        step = self._known.get(key)
        return step if step is not None and step.input_hash == input_hash else None

    @contextmanager
    def collect(self, key: str) -> Iterator[AttemptMeter]:
        meter = AttemptMeter(key)
        outer = _meter.set(meter)
        try:
            yield meter
        finally:
            # A step may run inside another one: a call of a chat model inside a node. The node then goes on.
            _meter.reset(outer)

    def current_step(self) -> str:
        """Returns the key of the step that the calling code belongs to; empty outside of a step."""
        meter = _meter.get()
        return "" if meter is None else meter.key

    def observe(self, attempt: ModelAttempt) -> None:
        """Adds an attempt to the step that runs now and to the task's usage, also if the step fails later."""
        meter = _meter.get()
        if meter is not None:
            meter.add(attempt)
        self.usage = self.usage + attempt.usage

    async def record(self, step: Step, *, flush: bool) -> None:
        """Adds the step; `flush` writes it at once, else with the next write. Raises ClaimLost, Postponed."""
        last = max((known.sequence for known in self._known.values()), default=0)
        numbered = step.model_copy(update={"sequence": last + 1})
        self._known[step.key] = numbered
        self._pending.append(numbered)
        if flush:
            await self.flush()

    def record_history(self, history: Sequence[Message]) -> None:
        """Keeps the session's messages that the run has read for the next write: a resumed run sees the same."""
        self._history = history

    def record_routing(self, routing: Routing, *, agent_type: str) -> None:
        """Keeps the routing decision for the next write."""
        self._routing = routing
        self._agent_type = agent_type
        self.agent_name = routing.agent_name

    def latest_text(self) -> str | None:
        """Returns the newest text that a step produced. It is kept as a partial answer if the task fails half-way."""
        for step in sorted(self._known.values(), key=lambda known: known.sequence, reverse=True):
            content = step.output.get("content")
            if isinstance(content, str) and content:
                return content
        return None

    async def flush(self) -> None:
        """Writes what is pending. Raises ClaimLost; raises Postponed if the worker is asked to hand the task back."""
        # One write at a time. The document knows only the last write by its id: if a second write overtook one whose
        # reply was lost, the repeat of the first would be applied again and put older figures in place of newer ones.
        async with self._writing:
            update = self.take_update()
            try:
                await self.write(lambda: self._claims.record(self._held.claim, update))
            except asyncio.CancelledError:
                self._restore(update)
                raise
        # Only after the write: the steps that are paid for are kept, and the next worker goes on from them.
        if self._held.hand_back:
            raise Postponed(f"task {self._task.id} is handed back: the worker stops")

    def take_update(self, result_text: str | None = None) -> RunUpdate:
        """Takes what is pending as the next write. A text of a step that is the result is replaced by a reference."""
        steps = [_with_reference(step, result_text) for step in self._pending]
        update = RunUpdate(
            steps=steps,
            usage=self.usage if self.usage != NO_USAGE else None,
            routing=self._routing,
            agent_type=self._agent_type,
            history=self._history,
            spending=self.spending,
        )
        self._pending, self._routing, self._agent_type, self._history = [], None, None, None
        return update

    def _restore(self, update: RunUpdate) -> None:
        """Makes the update pending again, after its write was cut off."""
        # The write may have reached the database. Steps are set by key, so adding them twice changes nothing.
        self._pending = [*update.steps, *self._pending]
        self._routing = self._routing or update.routing
        self._agent_type = self._agent_type or update.agent_type
        self._history = update.history if self._history is None else self._history

    async def write(self, operation: Callable[[], Awaitable[bool]]) -> None:
        """Repeats the operation until the database answers. Raises ClaimLost if the fence did not let it pass."""
        if not await until_answered(operation, action="write", task_id=self._task.id):
            raise ClaimLost(f"task {self._task.id}: another worker owns it, or it has ended")


def _with_reference(step: Step, result_text: str | None) -> Step:
    """Replaces the text by a reference if it is the result: a document holds the result once, it may be 4 MiB."""
    if result_text is None or result_text not in step.output.values():
        return step
    output = {name: {"$result": True} if value == result_text else value for name, value in step.output.items()}
    return step.model_copy(update={"output": output})
