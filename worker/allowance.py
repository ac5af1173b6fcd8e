"""The permission to make a model call: the lease is valid, the run is not interrupted, and the budget holds.

If a task has a budget, the most that a call can cost is stored before the call and settled with the step. A reservation
that is still open when a process dies counts as spent: the next run begins with it settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.domain.task import Budget, Spending, Task
from app.domain.usage import NO_USAGE, Usage
from app.errors import BudgetExceeded, Postponed
from app.tools.search_tool import SearchHit, SearchTool
from worker.journal import TaskJournal
from worker.leases import HeldClaim


class TaskAllowance:
    """The allowance of one claim. Implements `app.llm.interface.Allowance`."""

    def __init__(self, task: Task, held: HeldClaim, journal: TaskJournal) -> None:
        self._task = task
        self._held = held
        self._journal = journal
        # What an earlier run had reserved when it died may have been paid, so it counts as spent.
        self._settled = priced(task.spending.settled) + priced(task.spending.reserved)
        self._reserved = NO_USAGE
        self._lock = asyncio.Lock()

    async def reserve(self, upper_bound: Usage) -> None:
        await self._held.check()
        if self._task.budget is None:
            return
        async with self._lock:  # nodes run side by side: each must see what the others have reserved
            refuse_beyond(self._task.budget, spent=self._settled + self._reserved, wanted=upper_bound)
            self._reserved = self._reserved + priced(upper_bound)
            self._record_spending()
            try:
                await self._journal.flush()  # stored before the call: a crash must not lose what may have been paid
            except Postponed:  # the task is handed back, so this call will not be made
                self.settle(upper_bound, NO_USAGE)
                raise
        await self._held.check()  # the write may have taken longer than the lease lasts

    def settle(self, upper_bound: Usage, actual: Usage) -> None:
        if self._task.budget is None:
            return
        self._reserved = minus(self._reserved, priced(upper_bound))
        self._settled = self._settled + priced(actual)
        self._record_spending()

    def _record_spending(self) -> None:
        self._journal.spending = Spending(settled=self._settled, reserved=self._reserved)


class LeasedSearch:
    """The search tool of one run. A search, like a model call, begins only under a valid lease."""

    def __init__(self, search: SearchTool, held: HeldClaim) -> None:
        self._search = search
        self._held = held

    @property
    def available(self) -> bool:
        return self._search.available

    async def search(self, query: str, *, request_id: str) -> Sequence[SearchHit]:
        await self._held.check()
        return await self._search.search(query, request_id=request_id)


def refuse_beyond(budget: Budget, *, spent: Usage, wanted: Usage) -> None:
    """Raises BudgetExceeded if `wanted` on top of `spent` would pass the budget, or has no price to check."""
    if budget.max_tokens is not None and spent.total_tokens + wanted.total_tokens > budget.max_tokens:
        raise BudgetExceeded(
            f"The next model call may need {wanted.total_tokens} tokens; "
            f"{max(0, budget.max_tokens - spent.total_tokens)} of {budget.max_tokens} are left."
        )
    if budget.max_cost_microusd is None:
        return
    if wanted.cost_microusd is None:
        raise BudgetExceeded(
            "The model has no known price, so a cost budget cannot hold. Set a price or a token budget."
        )
    left = budget.max_cost_microusd - (spent.cost_microusd or 0)
    if wanted.cost_microusd > left:
        raise BudgetExceeded(
            f"The next model call may cost {wanted.cost_microusd / 1e6:.6f} USD; "
            f"{max(0, left) / 1e6:.6f} of {budget.max_cost_microusd / 1e6:.6f} are left."
        )


def priced(usage: Usage) -> Usage:
    """Counts an unknown cost as 0: without a price, only token budgets are checked."""
    return usage if usage.cost_microusd is not None else usage.model_copy(update={"cost_microusd": 0})


def minus(usage: Usage, part: Usage) -> Usage:
    """Subtracts `part`, never below zero."""
    return Usage(
        input_tokens=max(0, usage.input_tokens - part.input_tokens),
        output_tokens=max(0, usage.output_tokens - part.output_tokens),
        cost_microusd=max(0, (usage.cost_microusd or 0) - (part.cost_microusd or 0)),
    )
