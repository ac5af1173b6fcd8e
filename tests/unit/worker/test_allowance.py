"""A budget stops a call before it is made, never after, and stops none that fits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from app.domain.identity import ClaimId
from app.domain.task import Budget, Spending, Task, TaskStatus
from app.domain.usage import NO_USAGE, Usage
from app.errors import BudgetExceeded, LLMError
from app.llm.chain_call import ChainCall
from app.llm.chains import Hop
from app.llm.faults import FaultKind, ProviderFault
from app.llm.interface import ChatMessage
from app.llm.metering import USEFUL_OUTPUT_TOKENS, USEFUL_THINKING_TOKENS, input_tokens_bound
from app.llm.plans import PlainPlan
from app.llm.pricing import PriceTable, TokenCounts
from app.llm.provider_table import Provider
from app.llm.providers.adapter import ProviderAnswer, ProviderRequest
from app.ports import Claim, RunUpdate
from app.settings import LLMSettings
from tests.support.doubles import ManualClock
from tests.support.tasks import new_task
from tests.unit.llm.doubles import Bench, ScriptedAdapter
from tests.unit.worker.test_endings import RecordingClaims
from worker.allowance import TaskAllowance, minus, priced, refuse_beyond
from worker.journal import TaskJournal
from worker.leases import HeldClaim

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# Its provider charges more than the price of the input for what it writes to its cache.
HOP = Hop(Provider.OPENAI, "gpt-6-luna")
PRICES = PriceTable()
NOTHING_SPENT = Spending()

amounts = st.builds(
    Usage, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(0, 10**6), cost_microusd=st.integers(0, 10**9)
)


def test_a_call_that_fits_is_allowed() -> None:
    refuse_beyond(
        Budget(max_tokens=10, max_cost_microusd=5), spent=NO_USAGE, wanted=Usage(input_tokens=10, cost_microusd=5)
    )


@pytest.mark.parametrize("wanted", [Usage(output_tokens=6), Usage(cost_microusd=4)])
def test_a_call_that_could_pass_the_budget_is_refused_with_what_is_left(wanted: Usage) -> None:
    spent = Usage(input_tokens=5, cost_microusd=2)

    with pytest.raises(BudgetExceeded, match=r"openai:gpt-4\.1 may .* are left"):
        refuse_beyond(Budget(max_tokens=10, max_cost_microusd=5), spent=spent, wanted=wanted, model="openai:gpt-4.1")


def test_a_budget_in_money_refuses_a_model_without_a_price_and_names_the_remedy() -> None:
    unpriced = Usage(input_tokens=5, cost_microusd=None)
    with pytest.raises(BudgetExceeded, match=r"openai:mine has no known price.*AGENT_PRICES_FILE.*budget in tokens"):
        refuse_beyond(Budget(max_cost_microusd=5), spent=NO_USAGE, wanted=unpriced, model="openai:mine")
    refuse_beyond(Budget(max_tokens=5), spent=NO_USAGE, wanted=unpriced)


@given(budget=st.integers(0, 10**6), spent=amounts, wanted=amounts)
def test_allowed_calls_never_pass_the_budget(budget: int, spent: Usage, wanted: Usage) -> None:
    try:
        refuse_beyond(Budget(max_tokens=budget, max_cost_microusd=budget), spent=spent, wanted=wanted)
    except BudgetExceeded:
        return
    assert wanted == NO_USAGE or (spent + wanted).total_tokens <= max(budget, spent.total_tokens)
    assert wanted == NO_USAGE or (spent + wanted).known_cost_microusd <= max(budget, spent.known_cost_microusd)


@given(usage=amounts, part=amounts)
def test_subtracting_a_reservation_undoes_it(usage: Usage, part: Usage) -> None:
    assert minus(usage + part, part) == usage


def test_an_unknown_cost_counts_as_far_as_it_is_known_if_only_tokens_are_limited() -> None:
    assert priced(Usage(input_tokens=1, cost_microusd=None)) == Usage(input_tokens=1, cost_microusd=0)
    assert priced(Usage(cost_microusd=None, partial_cost_microusd=7)) == Usage(cost_microusd=7)


class SilentClaims(RecordingClaims):
    """A claim repository that accepts every step."""

    async def record(self, claim: Claim, update: RunUpdate) -> bool:
        return True


def allowance_of(budget: Budget | None, *, spending: Spending = NOTHING_SPENT) -> TaskAllowance:
    """Builds the allowance of a run in the current asyncio task."""
    times = dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), NOW)
    fields = {**new_task().model_dump(), "status": TaskStatus.PROCESSING, "rev": 1, **times}
    task = Task(**fields).model_copy(update={"budget": budget, "spending": spending})
    running = asyncio.current_task()
    assert running is not None
    clock = ManualClock()
    held = HeldClaim(
        claim=Claim(task_id=task.id, claim_id=ClaimId("c1"), epoch=1),
        run=cast("asyncio.Task[None]", running),
        renewed_at=clock.monotonic(),
        lease_seconds=30,
        clock=clock,
    )
    return TaskAllowance(task, held, TaskJournal(task, held, SilentClaims()))


def of_tokens(tokens: int) -> Usage:
    return Usage(output_tokens=tokens)


async def test_a_call_that_does_not_fit_is_cut_to_what_is_left() -> None:
    spending = Spending(settled=Usage(input_tokens=100), reserved=Usage(input_tokens=50))
    allowance = allowance_of(Budget(max_tokens=1_000), spending=spending)
    cut = await allowance.reserve(of_tokens(4_000), cut=lambda left: of_tokens(left.max_tokens or 0))
    assert cut == of_tokens(850)
    with pytest.raises(BudgetExceeded, match="may need 256 tokens; 0 of 1000 are left"):
        await allowance.reserve(of_tokens(4_000), cut=lambda _: of_tokens(256))
    allowance.settle(cut, of_tokens(50))
    assert await allowance.reserve(of_tokens(800), cut=lambda _: of_tokens(1)) == of_tokens(800)


async def test_a_task_without_a_budget_is_never_cut() -> None:
    assert await allowance_of(None).reserve(of_tokens(4_000), cut=lambda _: of_tokens(1)) == of_tokens(4_000)


async def test_parallel_calls_share_what_is_left() -> None:
    allowance = allowance_of(Budget(max_tokens=1_000))
    asked = (allowance.reserve(of_tokens(600), cut=lambda left: of_tokens(left.max_tokens or 0)) for _ in range(2))
    assert [usage.output_tokens for usage in await asyncio.gather(*asked)] == [600, 400]


@dataclass(frozen=True)
class Exchange:
    """One call and the provider's answer to it; the shares are those of the most that the request can take."""

    characters: int
    max_tokens: int
    fault: FaultKind | None
    input_share: float
    output_share: float
    written_share: float

    def to_request(self) -> ProviderRequest:
        return ProviderRequest("", [ChatMessage("user", "x" * self.characters)], self.max_tokens)

    def counts(self, request: ProviderRequest) -> TokenCounts:
        whole = max(1, int(input_tokens_bound(request) * self.input_share))
        output = max(1, int(request.max_tokens * self.output_share))
        return TokenCounts(whole, output, cache_write=int(whole * self.written_share))


class ChargingProvider(ScriptedAdapter):
    """A provider that answers as planned; `charged` is what it counts, told to us or not."""

    def __init__(self, plan: Sequence[Exchange]) -> None:
        super().__init__(script=[])
        self._plan = list(plan)
        self.charged: list[TokenCounts] = []

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        exchange = self._plan.pop(0)
        await asyncio.sleep(0)
        if exchange.fault is FaultKind.SERVER:
            raise ProviderFault(FaultKind.SERVER, "503")
        counts = exchange.counts(request)
        self.charged.append(counts)
        if exchange.fault is FaultKind.TIMEOUT:
            raise ProviderFault(FaultKind.TIMEOUT, maybe_billed=True)
        if exchange.fault is FaultKind.TRUNCATED:
            raise ProviderFault(FaultKind.TRUNCATED, "finish", tokens=counts, text="Half")
        return ProviderAnswer("Hello.", counts, "served")


async def spend(budget: Budget, exchanges: Sequence[Exchange], *, at_once: bool) -> Usage:
    """Makes the calls as one task with that budget. Returns what the provider charges."""
    provider = ChargingProvider(exchanges)
    bench = Bench({Provider.OPENAI: provider}, settings=LLMSettings(http_max_retries=1, breaker_failures=1_000))
    scope = replace(bench.scope(), allowance=allowance_of(budget))

    async def call(exchange: Exchange) -> None:
        plan = PlainPlan[BaseModel](exchange.to_request())
        with suppress(BudgetExceeded, LLMError):
            await ChainCall(bench.parts(), scope, hops=[HOP], plan=plan, headers={}).run()

    if at_once:
        await asyncio.gather(*map(call, exchanges))
    else:
        for exchange in exchanges:
            await call(exchange)
    return sum(map(charge, provider.charged), NO_USAGE)


def charge(counts: TokenCounts) -> Usage:
    cost = PRICES.price(HOP.provider, HOP.model, counts, at=NOW).microusd
    return Usage(input_tokens=counts.input, output_tokens=counts.output, cost_microusd=cost)


shares = st.floats(0, 1)
exchanges = st.builds(
    Exchange,
    characters=st.integers(1, 6_000),
    max_tokens=st.integers(100, 4_000),
    fault=st.sampled_from([None, None, FaultKind.TIMEOUT, FaultKind.TRUNCATED, FaultKind.SERVER]),
    input_share=shares,
    output_share=shares,
    written_share=shares,
)


@settings(deadline=None)
@given(
    max_tokens=st.none() | st.integers(1, 20_000),
    max_cost=st.none() | st.integers(1, 5_000),
    plan=st.lists(exchanges, min_size=1, max_size=8),
    at_once=st.booleans(),
)
@example(
    max_tokens=None,
    max_cost=2_230,
    plan=[Exchange(6_000, 4_000, None, input_share=1, output_share=1, written_share=1)],
    at_once=False,
).via("costs 2,207 micro-USD if nothing is written to the cache, 2,259 if all of the input is")
def test_no_run_passes_its_budget_by_the_providers_count(
    max_tokens: int | None, max_cost: int | None, plan: list[Exchange], at_once: bool
) -> None:
    budget = Budget(max_tokens=max_tokens, max_cost_microusd=max_cost)
    assert budget.covers(asyncio.run(spend(budget, plan, at_once=at_once)))


@settings(deadline=None)
@given(characters=st.integers(1, 6_000), answer=st.integers(1, USEFUL_OUTPUT_TOKENS), spare=st.integers(0, 4_000))
def test_a_call_that_leaves_room_for_a_useful_answer_is_made(characters: int, answer: int, spare: int) -> None:
    exchange = Exchange(characters, 4_000, None, input_share=1, output_share=0, written_share=0)
    # The model thinks.
    needed = input_tokens_bound(exchange.to_request()) + USEFUL_OUTPUT_TOKENS + USEFUL_THINKING_TOKENS
    budget = Budget(max_tokens=needed + spare)
    assert asyncio.run(spend(budget, [exchange], at_once=False)).total_tokens > 0
    tight = Budget(max_tokens=needed - answer)
    assert asyncio.run(spend(tight, [exchange], at_once=False)) == NO_USAGE
