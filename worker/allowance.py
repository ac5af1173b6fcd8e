"""The permission to make a model call: the lease is valid, the run is not interrupted, and the budget holds.

If a task has a budget, the most that a call can cost is stored before the call and settled with the step. If less is
left than a long answer may take, the answer is limited to it. A reservation that is still open when a process dies
counts as spent: the next run begins with it settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

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

    async def reserve(
        self, upper_bound: Usage, *, model: str = "the model", cut: Callable[[Budget], Usage] | None = None
    ) -> Usage:
        await self._held.check()
        if self._task.budget is None:
            return upper_bound
        async with self._lock:  # nodes run side by side: each must see what the others have reserved
            wanted = self._fit(upper_bound, cut)
            refuse_beyond(self._task.budget, spent=self._settled + self._reserved, wanted=wanted, model=model)
            self._reserved = self._reserved + priced(wanted)
            self._record_spending()
            try:
                await self._journal.flush()  # stored before the call: a crash must not lose what may have been paid
            except Postponed:  # the task is handed back, so this call will not be made
                self.settle(wanted, NO_USAGE)
                raise
        await self._held.check()  # the write may have taken longer than the lease lasts
        return wanted

    def _fit(self, upper_bound: Usage, cut: Callable[[Budget], Usage] | None) -> Usage:
        budget = self._task.budget
        if budget is None or cut is None:
            return upper_bound
        left = budget.after(self._settled + self._reserved)
        return upper_bound if left.covers(upper_bound) else cut(left)

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


def refuse_beyond(budget: Budget, *, spent: Usage, wanted: Usage, model: str = "the model") -> None:
    """Raises BudgetExceeded if `wanted` on top of `spent` would pass the budget, or has no price to check."""
    left = budget.after(spent)
    if left.covers(wanted):
        return
    if left.max_tokens is not None and wanted.total_tokens > left.max_tokens:
        raise BudgetExceeded(
            f"A call of {model} may need {wanted.total_tokens} tokens; "
            f"{left.max_tokens} of {budget.max_tokens} are left. Raise the budget in tokens."
        )
    if wanted.cost_microusd is None:
        raise BudgetExceeded(
            f"{model} has no known price, so a budget in money cannot hold. Add the model to AGENT_PRICES_FILE, or set "
            "a budget in tokens instead."
        )
    raise BudgetExceeded(
        f"A call of {model} may cost {_usd(wanted.cost_microusd)} USD; "
        f"{_usd(left.max_cost_microusd)} of {_usd(budget.max_cost_microusd)} are left. Raise the budget in money."
    )


def _usd(microusd: int | None) -> str:
    return f"{(microusd or 0) / 1e6:.6f}"


def priced(usage: Usage) -> Usage:
    """Counts an unknown cost as far as it is known: without a price, only token budgets are checked."""
    if usage.cost_microusd is not None:
        return usage
    return usage.model_copy(update={"cost_microusd": usage.known_cost_microusd, "partial_cost_microusd": 0})


def minus(usage: Usage, part: Usage) -> Usage:
    """Subtracts `part`, never below zero."""
    return Usage(
        input_tokens=max(0, usage.input_tokens - part.input_tokens),
        output_tokens=max(0, usage.output_tokens - part.output_tokens),
        cost_microusd=max(0, (usage.cost_microusd or 0) - (part.cost_microusd or 0)),
    )
