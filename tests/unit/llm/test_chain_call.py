from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

import pytest
from pydantic import BaseModel

from app.domain.agent import CutOff
from app.domain.task import Budget
from app.domain.usage import AttemptStatus
from app.errors import (
    BudgetExceeded,
    LLMAuthFailed,
    LLMError,
    LLMOutputInvalid,
    LLMOutputTruncated,
    LLMRateLimited,
    LLMRefused,
    LLMTimeout,
    LLMUnavailable,
)
from app.llm.chain_call import ChainCall
from app.llm.chains import Hop
from app.llm.faults import CONSEQUENCES, FaultKind, InvalidOutput, ProviderFault
from app.llm.hop_request import HopRequests
from app.llm.interface import ChatMessage, Completion, ToolCall, ToolSpec
from app.llm.plans import PlainPlan, StructuredPlan
from app.llm.pricing import TokenCounts
from app.llm.provider_table import Provider
from app.llm.providers.adapter import Finish, ProviderAnswer, ProviderRequest, SchemaMode, ask_for_a_call
from app.llm.refusal_kinds import classify
from app.llm.server_dialect import FULL, Feature
from app.llm.vendor_error import VendorError
from app.settings import LLMSettings
from tests.unit.llm.doubles import (
    Bench,
    FullLimits,
    PausedMeanwhile,
    RateLimitedAdapter,
    ScriptedAdapter,
    VirtualTime,
    answer,
    statuses,
)

FIRST, SECOND = Hop(Provider.OPENAI, "gpt-4.1-mini"), Hop(Provider.ANTHROPIC, "claude-sonnet-5")
SERVER = ProviderFault(FaultKind.SERVER, "503")
SEARCH = ToolSpec(name="search", description="Searches.", parameters={"type": "object"})
Step = ProviderAnswer | BaseException | Callable[[ProviderRequest], None]


class City(BaseModel):
    name: str


# Sixteen callers use a limit of calls a minute nearly to the full. If one call went first until it is answered, eight
# seconds for an answer would make it three times the least time.
LONGEST = 1.5
CONTENT_FAULTS = [kind for kind, consequence in CONSEQUENCES.items() if not consequence.error.retryable]


def bench(first: list[Step], second: list[Step] | None = None, *, breaker_failures: int = 100) -> Bench:
    adapters = {Provider.OPENAI: ScriptedAdapter(first)}
    if second is not None:
        adapters[Provider.ANTHROPIC] = ScriptedAdapter(second)
    settings = LLMSettings(http_max_retries=3, breaker_failures=breaker_failures)
    return Bench(adapters, settings=settings)


class SilentAdapter(ScriptedAdapter):
    """An adapter that never answers."""

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        await asyncio.Event().wait()
        return await super().answer(request)


class Crowd:
    """Sixteen and more tasks of one worker at a model with a limit of calls a minute."""

    def __init__(self, *, per_minute: int, latency: float, refusals: int = 0) -> None:
        self.time = VirtualTime()
        self.adapter = RateLimitedAdapter([], time=self.time, per_minute=per_minute, latency=latency, refusals=refusals)
        self.bench = Bench({Provider.OPENAI: self.adapter}, remaining=100_000, clock=self.time.clock)
        self.parts = replace(self.bench.parts(), sleep=self.time.sleep)

    async def call(self, number: int) -> None:
        """Raises LLMRateLimited if the model is busy."""
        plan = PlainPlan[City](ProviderRequest(model="", messages=[ChatMessage("user", "Hi.")], max_tokens=100))
        scope = self.bench.scope(f"task-{number}")
        await ChainCall(self.parts, scope, hops=(FIRST,), plan=plan, headers={}).run()

    async def calls_in_turn(self, number: int, *, count: int) -> None:
        """Makes one call after the other, and repeats it later if the model is busy."""
        while count:
            try:
                await self.call(number)
                count -= 1
            except LLMRateLimited as busy:
                await self.time.sleep(busy.retry_after_seconds or 1.0)

    async def run(self, tasks: Sequence[Coroutine[None, None, None]]) -> float:
        """Runs all tasks to their ends, and returns the seconds that pass."""
        began = self.time.clock.monotonic()
        await self.time.run(tasks)
        return self.time.clock.monotonic() - began


def cut(text: str) -> ProviderAnswer:
    return replace(answer(text), finish=Finish.LENGTH)


async def run(
    made: Bench,
    *,
    schema: bool = False,
    forced: tuple[ToolSpec, ...] = (),
    hops: tuple[Hop, ...] | None = None,
    max_tokens: int = 100,
) -> Completion[City]:
    request = ProviderRequest(
        model="",
        messages=(ChatMessage("user", "Name a city."),),
        max_tokens=max_tokens,
        tools=forced,
        must_call_tool=bool(forced),
    )
    plan: StructuredPlan[City] | PlainPlan[City] = StructuredPlan(request, City) if schema else PlainPlan[City](request)
    chain = hops if hops is not None else (FIRST, SECOND)[: len(made.adapters)]
    return await ChainCall(made.parts(), made.scope(), hops=chain, plan=plan, headers={"X-Task-Id": "task-1"}).run()


async def fails(made: Bench, error: type[LLMError], *, schema: bool = False) -> LLMError:
    with pytest.raises(error) as caught:
        await run(made, schema=schema)
    assert type(caught.value) is error
    assert list(caught.value.attempts) == made.recorded
    return caught.value


async def test_an_answer_comes_with_its_usage_and_its_attempt() -> None:
    made = bench([answer("Oslo")])
    completion = await run(made)
    assert (completion.text, completion.served_model, completion.usage.total_tokens) == ("Oslo", "served", 15)
    assert statuses(completion.attempts) == ["gpt-4.1-mini ok"]
    (request,) = made.adapters[Provider.OPENAI].requests
    assert (request.model, dict(request.headers)) == ("gpt-4.1-mini", {"X-Task-Id": "task-1"})
    ((reserved, settled),) = made.allowance.settled
    assert reserved == made.allowance.reserved[0]
    assert settled == completion.usage


async def test_a_passing_trouble_is_tried_again_with_a_wait() -> None:
    made = bench([SERVER, SERVER, answer()])
    completion = await run(made)
    assert [attempt.status for attempt in completion.attempts] == ["error", "error", "ok"]
    assert len(made.slept) == 2
    assert made.slept[0] <= 0.2
    assert made.slept[1] <= 0.4


async def test_tries_are_limited_and_then_the_next_model_is_asked() -> None:
    made = bench([SERVER], [answer()])
    completion = await run(made)
    assert statuses(completion.attempts) == ["gpt-4.1-mini error"] * 3 + ["claude-sonnet-5 ok"]
    assert made.sample(
        "agents_llm_fallback_total", from_model="gpt-4.1-mini", to_model="claude-sonnet-5", reason="server"
    )


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.AUTH,
        FaultKind.QUOTA,
        FaultKind.MODEL_NOT_FOUND,
        FaultKind.CONTEXT_OVERFLOW,
        FaultKind.EMPTY,
        FaultKind.BAD_REQUEST,
        FaultKind.WRONG_ENDPOINT,
        FaultKind.TRUNCATED,
        FaultKind.TIMEOUT,
    ],
)
async def test_what_this_model_cannot_another_may(kind: FaultKind) -> None:
    made = bench([ProviderFault(kind)], [answer()])
    completion = await run(made)
    assert [attempt.model for attempt in completion.attempts] == ["gpt-4.1-mini", "claude-sonnet-5"]
    assert made.slept == []


@pytest.mark.parametrize("kind", [FaultKind.SERVER, FaultKind.RATE_LIMITED, FaultKind.UNREACHABLE])
async def test_a_server_that_forbids_a_retry_is_not_asked_again(kind: FaultKind) -> None:
    made = bench([ProviderFault(kind, should_retry=False)], [answer()])
    completion = await run(made)
    assert [attempt.model for attempt in completion.attempts] == ["gpt-4.1-mini", "claude-sonnet-5"]
    assert made.slept == []


async def test_a_rate_limit_pauses_the_model_for_others_although_the_server_forbids_a_retry() -> None:
    made = bench([ProviderFault(FaultKind.RATE_LIMITED, retry_after=30, should_retry=False)])
    error = await fails(made, LLMRateLimited)
    assert (error.retry_after_seconds, len(made.adapters[Provider.OPENAI].requests)) == (30, 1)
    made.recorded.clear()
    assert statuses((await fails(made, LLMRateLimited)).attempts) == ["gpt-4.1-mini skipped"]


@pytest.mark.parametrize("kind", [FaultKind.BAD_REQUEST, FaultKind.AUTH, FaultKind.TIMEOUT])
async def test_a_server_that_asks_for_a_retry_is_asked_again(kind: FaultKind) -> None:
    made = bench([ProviderFault(kind, should_retry=True), answer()], [answer()])
    completion = await run(made)
    assert [attempt.model for attempt in completion.attempts] == ["gpt-4.1-mini"] * 2
    assert len(made.slept) == 1


async def test_a_server_that_asks_for_ever_is_asked_no_oftener_than_others() -> None:
    made = bench([ProviderFault(FaultKind.BAD_REQUEST, should_retry=True)], [answer()])
    completion = await run(made)
    assert [attempt.model for attempt in completion.attempts] == ["gpt-4.1-mini"] * 3 + ["claude-sonnet-5"]


async def test_a_call_that_may_have_been_billed_is_not_repeated_on_a_mere_word() -> None:
    made = bench([ProviderFault(FaultKind.TIMEOUT, should_retry=True, maybe_billed=True)], [answer()])
    assert [attempt.model for attempt in (await run(made)).attempts] == ["gpt-4.1-mini", "claude-sonnet-5"]


async def test_a_policys_refusal_stays_final_although_the_server_asks_for_a_retry() -> None:
    made = bench([ProviderFault(FaultKind.REFUSED, should_retry=True)], [answer()])
    assert len((await fails(made, LLMRefused)).attempts) == 1


async def test_refused_content_ends_the_call() -> None:
    made = bench([ProviderFault(FaultKind.REFUSED, "400")], [answer()])
    error = await fails(made, LLMRefused)
    assert statuses(error.attempts) == ["gpt-4.1-mini invalid_output"]
    assert made.adapters[Provider.ANTHROPIC].requests == []


def refusal(message: str, *, param: str = "", status: int = 400) -> ProviderFault:
    error = VendorError(status=status, param=param, message=message)
    return ProviderFault(classify(error), "400", refusal=error)


async def test_a_server_that_refuses_the_name_of_the_tenant_is_not_told_it_again() -> None:
    made = bench([refusal("Unknown parameter: 'safety_identifier'.", param="safety_identifier"), answer()])
    request = ProviderRequest(model="", messages=(ChatMessage("user", "Hi."),), max_tokens=100, end_user="e1")
    for _ in range(2):
        plan = PlainPlan[City](request)
        await ChainCall(made.parts(), made.scope(), hops=(FIRST,), plan=plan, headers={}).run()
    assert [sent.end_user for sent in made.adapters[Provider.OPENAI].requests] == ["e1", "", ""]


@pytest.mark.parametrize("elsewhere", [(Provider.OPENAI,), ()])
async def test_only_a_server_of_ones_own_may_be_asked_without_the_word_that_it_stores_nothing(
    elsewhere: tuple[Provider, ...],
) -> None:
    made = bench([refusal("Unknown parameter: 'store'.", param="store"), answer()], [answer()])
    parts = replace(made.parts(), requests=HopRequests(made.settings, elsewhere=elsewhere))
    request = ProviderRequest(model="", messages=(ChatMessage("user", "Hi."),), max_tokens=100)
    call = ChainCall(parts, made.scope(), hops=(FIRST, SECOND), plan=PlainPlan[City](request), headers={})
    completion = await call.run()
    answered_by = "gpt-4.1-mini" if elsewhere else "claude-sonnet-5"
    assert statuses(completion.attempts) == ["gpt-4.1-mini error", f"{answered_by} ok"]
    assert (await made.dialects.of(FIRST.name)).has(Feature.STORE) is not bool(elsewhere)


async def test_a_refusal_of_what_the_protocol_does_not_have_teaches_nothing() -> None:
    made = bench([refusal("stream_options: Extra inputs are not permitted")], [answer()])
    made.adapters[Provider.OPENAI].sends = frozenset(Feature) - {Feature.STREAM_OPTIONS, Feature.STREAMING}
    completion = await run(made)
    assert statuses(completion.attempts) == ["gpt-4.1-mini error", "claude-sonnet-5 ok"]
    assert (await made.dialects.of(FIRST.name)) == FULL


async def test_what_a_server_refuses_is_left_out_from_then_on() -> None:
    made = bench([refusal("Unrecognized request argument supplied: stream_options"), answer(), answer()])
    completion = await run(made)
    assert statuses(completion.attempts) == ["gpt-4.1-mini error", "gpt-4.1-mini ok"]
    await run(made)
    has = [request.dialect.has(Feature.STREAM_OPTIONS) for request in made.adapters[Provider.OPENAI].requests]
    assert has == [True, False, False]
    assert made.slept == []


async def test_structured_output_is_asked_for_in_every_way_before_the_next_model() -> None:
    made = bench(
        [
            refusal("This response_format type is unavailable now"),
            refusal("`tools` is not supported"),
            answer('Here it is: {"name": "Oslo"}'),
        ]
    )
    completion = await run(made, schema=True)
    assert completion.parsed == City(name="Oslo")
    requests = made.adapters[Provider.OPENAI].requests
    assert [request.schema_mode for request in requests] == [
        SchemaMode.NATIVE,
        SchemaMode.FUNCTION,
        SchemaMode.PROMPT,
    ]
    assert "JSON schema" in requests[2].messages[0].content


async def test_a_tool_is_asked_for_in_words_after_a_refusal_to_be_forced() -> None:
    called = replace(answer(""), tool_calls=(ToolCall("c1", "search", {}),))
    made = bench([refusal("tool_choice 'required' is not supported"), called, answer("No."), called])
    assert (await run(made, forced=(SEARCH,))).tool_calls == called.tool_calls
    assert (await run(made, forced=(SEARCH,))).tool_calls == called.tool_calls
    requests = made.adapters[Provider.OPENAI].requests
    assert [request.must_call_tool for request in requests] == [True, False, False, False]
    assert [ask_for_a_call([SEARCH]) in request.messages[0].content for request in requests] == [False, *[True] * 3]
    assert statuses(made.recorded) == [f"gpt-4.1-mini {status}" for status in ("error", "ok", "invalid_output", "ok")]


async def test_a_refusal_that_names_no_part_of_the_request_is_the_next_models_turn() -> None:
    made = bench([refusal("temperature is not supported")], [answer()])
    assert statuses((await run(made)).attempts) == ["gpt-4.1-mini error", "claude-sonnet-5 ok"]


async def test_a_limit_that_a_server_names_is_kept_but_one_for_this_prompt_is_not() -> None:
    with_context = (
        "This model's maximum context length is 1000 tokens. However, you requested 8010 tokens "
        "(10 in the messages, 8000 in the completion)."
    )
    lasting = bench([refusal("max_tokens: 8000 > 4000, which is the maximum"), answer(), answer()])
    await run(lasting, max_tokens=8000)
    await run(lasting, max_tokens=8000)
    assert [request.max_tokens for request in lasting.adapters[Provider.OPENAI].requests] == [8000, 4000, 4000]
    passing = bench([refusal(with_context), answer(), answer()])
    await run(passing, max_tokens=8000)
    await run(passing, max_tokens=8000)
    assert [request.max_tokens for request in passing.adapters[Provider.OPENAI].requests] == [8000, 958, 8000]


async def test_a_prompt_that_is_too_long_teaches_nothing_about_the_protocol() -> None:
    told = "This model's maximum context length is 4096 tokens. Please reduce the length of the messages or functions."
    made = bench([refusal(told)], [answer('{"name": "Oslo"}')])
    await run(made, schema=True)
    assert (await made.dialects.of(FIRST.name)) == FULL


async def test_a_limit_for_one_prompt_is_not_kept_with_what_is_learned_later() -> None:
    told = (
        "This model's maximum context length is 1000 tokens; your request has 500 input tokens; max_tokens is too large"
    )
    made = bench([refusal(told), refusal("response_format is not supported"), answer('{"name": "Oslo"}')])
    await run(made, schema=True, max_tokens=8000)
    assert (await made.dialects.of(FIRST.name)) == FULL.without(Feature.JSON_SCHEMA)


async def test_an_answer_that_stops_at_the_limit_is_continued() -> None:
    made = bench([cut("Once upon a ti"), cut("me there was a "), answer("fox.")])
    completion = await run(made)
    assert (completion.text, completion.truncated) == ("Once upon a time there was a fox.", False)
    assert completion.usage.total_tokens == 45
    last = made.adapters[Provider.OPENAI].requests[-1]
    assert [message.content for message in last.messages][:2] == ["Name a city.", "Once upon a time there was a "]


async def test_continuing_ends_at_its_maximum_or_at_a_fault_and_keeps_the_text() -> None:
    made = bench([cut("la ")])
    completion = await run(made)
    assert completion.cut_off is CutOff.LIMIT
    assert len(completion.attempts) == 1 + made.settings.max_continuations
    broken = await run(bench([cut("Once"), SERVER]))
    assert (broken.text, broken.cut_off) == ("Once", CutOff.FAULT)


async def test_a_budget_that_is_used_up_keeps_the_text_so_far() -> None:
    made = bench([cut("Once"), answer(" upon.")])
    made.allowance.affordable = 1
    completion = await run(made)
    assert (completion.text, completion.cut_off) == ("Once", CutOff.BUDGET)


async def test_a_last_continuation_that_a_budget_shortens_ends_for_the_budget() -> None:
    made = bench([cut("Once")])
    made.allowance.left = Budget(max_tokens=1_000)
    assert (await run(made, max_tokens=4_000)).cut_off is CutOff.BUDGET


async def test_a_continuation_whose_budget_goes_into_thinking_ends_for_the_budget() -> None:
    made = bench([cut("Once"), ProviderFault(FaultKind.TRUNCATED, "finish", tokens=TokenCounts(100, 50))])
    made.allowance.left = Budget(max_tokens=1_000)
    assert (await run(made, max_tokens=4_000)).cut_off is CutOff.BUDGET


async def test_thinking_that_used_up_all_tokens_is_the_next_models_turn() -> None:
    made = bench([ProviderFault(FaultKind.TRUNCATED, tokens=TokenCounts(100, 50))], [answer("Oslo")])
    assert (await run(made)).text == "Oslo"


async def test_a_cut_off_answer_was_paid_for() -> None:
    made = bench([ProviderFault(FaultKind.TRUNCATED, tokens=TokenCounts(100, 50))])
    error = await fails(made, LLMOutputTruncated)
    assert error.attempts[0].usage.total_tokens == 150
    assert made.allowance.settled[0][1].total_tokens == 150


async def test_a_short_retry_after_is_waited_for() -> None:
    made = bench([ProviderFault(FaultKind.RATE_LIMITED, retry_after=2), answer()])
    completion = await run(made)
    assert [attempt.status for attempt in completion.attempts] == ["rate_limited", "ok"]
    assert 2 <= made.slept[0] < 2.1


async def test_a_long_retry_after_sends_the_call_to_the_next_model_and_the_others_too() -> None:
    made = bench([ProviderFault(FaultKind.RATE_LIMITED, retry_after=120)], [answer()])
    await run(made)
    assert made.slept == []
    assert statuses((await run(made)).attempts) == ["gpt-4.1-mini skipped", "claude-sonnet-5 ok"]


async def test_a_chain_that_is_all_rate_limited_names_the_shortest_delay() -> None:
    made = bench(
        [ProviderFault(FaultKind.RATE_LIMITED, retry_after=120)],
        [ProviderFault(FaultKind.RATE_LIMITED, retry_after=30)],
    )
    assert (await fails(made, LLMRateLimited)).retry_after_seconds == 30
    made.recorded.clear()
    again = await fails(made, LLMRateLimited)
    assert [attempt.status for attempt in again.attempts] == [AttemptStatus.SKIPPED] * 2
    assert again.retry_after_seconds == 30


async def test_a_chain_that_only_times_out_is_a_timeout() -> None:
    timeout = ProviderFault(FaultKind.TIMEOUT, maybe_billed=True)
    await fails(bench([timeout], [timeout]), LLMTimeout)


async def test_a_mixture_of_outages_is_unavailability() -> None:
    await fails(bench([ProviderFault(FaultKind.TIMEOUT)], [SERVER]), LLMUnavailable)


async def test_an_open_breaker_is_not_asked() -> None:
    made = bench([SERVER], [answer()], breaker_failures=1)
    await run(made)
    completion = await run(made)
    assert statuses(completion.attempts) == ["gpt-4.1-mini skipped", "claude-sonnet-5 ok"]
    assert len(made.adapters[Provider.OPENAI].requests) == 1
    assert made.allowance.open == 0


async def test_one_task_alone_never_opens_a_breaker() -> None:
    made = bench([SERVER], breaker_failures=2)
    for _ in range(5):
        await fails(made, LLMUnavailable)
        made.recorded.clear()
    assert len(made.adapters[Provider.OPENAI].requests) == 15
    assert dict(made.breaker.states()) == {FIRST.name: "closed"}


async def test_a_task_that_only_breakers_refuse_loses_no_attempt_and_learns_when_to_come_back() -> None:
    made = bench([answer()], [answer()], breaker_failures=1)
    for hop in (FIRST, SECOND):
        await made.breaker.failed(hop.name, by="another task")
    error = await fails(made, LLMUnavailable)
    assert not error.counted
    assert error.retry_after_seconds == min(made.breaker.blocked_seconds(hop.name) for hop in (FIRST, SECOND))
    assert [attempt.status for attempt in error.attempts] == [AttemptStatus.SKIPPED] * 2


async def test_a_task_that_finds_the_probe_taken_comes_back_after_a_short_wait() -> None:
    made = bench([answer()], breaker_failures=1)
    await made.breaker.failed(FIRST.name, by="another task")
    made.clock.advance(73)
    made.deadline += 73
    assert await made.breaker.allow(FIRST.name, by="another task")
    error = await fails(made, LLMUnavailable)
    assert not error.counted
    assert 1 <= (error.retry_after_seconds or 0) <= 3
    assert made.slept == []


async def test_a_failed_call_counts_although_a_breaker_refuses_the_next_model() -> None:
    made = bench([SERVER], [answer()], breaker_failures=1)
    await made.breaker.failed(SECOND.name, by="another task")
    assert (await fails(made, LLMUnavailable)).counted


async def test_a_failed_call_counts_although_its_next_try_finds_the_provider_full() -> None:
    made = bench([SERVER])
    made.limits = FullLimits(Provider.OPENAI, after=1)
    assert (await fails(made, LLMUnavailable)).counted


async def test_a_repair_that_a_breaker_refuses_does_not_end_the_task() -> None:
    made = bench([])
    made.adapters[Provider.OPENAI] = PausedMeanwhile([answer("{}")], breaker=made.breaker)
    error = await fails(made, LLMRateLimited, schema=True)
    assert not error.counted
    assert error.retry_after_seconds == 30
    assert statuses(error.attempts) == ["gpt-4.1-mini invalid_output", "gpt-4.1-mini skipped"]


async def test_a_provider_that_is_full_is_passed_over_and_costs_nothing() -> None:
    made = bench([answer("Paris")], [answer("Rome")])
    made.limits = FullLimits(Provider.OPENAI)

    completion = await run(made)

    assert completion.text == "Rome"
    assert [attempt.status for attempt in made.recorded] == [AttemptStatus.SKIPPED, AttemptStatus.OK]
    assert made.adapters[Provider.OPENAI].requests == []
    assert made.allowance.open == 0


async def test_where_every_provider_is_full_the_task_is_told_when_to_come_back() -> None:
    made = bench([answer("Paris")], [answer("Rome")])
    made.limits = FullLimits(*Provider)

    assert (await fails(made, LLMRateLimited)).retry_after_seconds == 2.0


async def test_a_breaker_that_opens_between_two_tries_ends_them() -> None:
    made = bench([SERVER], [answer()], breaker_failures=2)
    await made.breaker.failed(FIRST.name, by="another task")
    completion = await run(made)
    assert statuses(completion.attempts) == ["gpt-4.1-mini error", "claude-sonnet-5 ok"]


@pytest.mark.parametrize("kind", CONTENT_FAULTS)
async def test_refusals_of_requests_never_open_a_breaker(kind: FaultKind) -> None:
    made = bench([ProviderFault(kind)], breaker_failures=1)
    for _ in range(3):
        with pytest.raises(LLMError):
            await run(made)
    assert dict(made.breaker.states()) == {FIRST.name: "closed"}
    assert made.clock.monotonic() < made.deadline


async def test_a_refusal_of_a_request_ends_the_row_of_failures() -> None:
    made = bench([ProviderFault(FaultKind.REFUSED)], breaker_failures=2)
    await made.breaker.failed(FIRST.name, by="another task")
    await fails(made, LLMRefused)
    await made.breaker.failed(FIRST.name, by="a third task")
    assert dict(made.breaker.states()) == {FIRST.name: "closed"}


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.SERVER])
async def test_a_wait_of_days_delays_the_task_by_the_cap(kind: FaultKind) -> None:
    made = bench([ProviderFault(kind, retry_after=9e9)])
    error = await fails(made, LLMRateLimited if kind is FaultKind.RATE_LIMITED else LLMUnavailable)
    assert error.retry_after_seconds == 60
    assert made.breaker.blocked_seconds(FIRST.name) <= 60
    assert made.slept == []


async def test_after_a_pause_the_calls_wait_for_the_one_that_goes_first() -> None:
    crowd = Crowd(per_minute=60_000, latency=0.5, refusals=16)
    await crowd.run([crowd.call(number) for number in range(16)])
    first, *others = crowd.adapter.starts[16:]
    assert len(others) == 15
    assert 0.5 <= min(others) - first <= max(others) - first < 2


async def test_a_call_waits_only_some_seconds_for_one_that_is_accepted_and_not_yet_answered() -> None:
    crowd = Crowd(per_minute=60_000, latency=40, refusals=16)
    await crowd.run([crowd.call(number) for number in range(16)])
    first, *others = crowd.adapter.starts[16:]
    assert 1 <= min(others) - first <= max(others) - first < 3


@pytest.mark.parametrize("latency", [0.3, 8.0])
async def test_the_limit_of_a_minute_is_used_although_one_call_goes_first_after_each_refusal(latency: float) -> None:
    crowd = Crowd(per_minute=60, latency=latency)
    seconds = await crowd.run([crowd.calls_in_turn(number, count=5) for number in range(16)])
    assert seconds < LONGEST * 16 * 5


async def test_nothing_is_asked_when_the_allowance_refuses_and_a_probe_is_given_back() -> None:
    made = bench([SERVER], breaker_failures=1)
    with pytest.raises(LLMUnavailable):
        await run(made)
    made.clock.advance(1.0)
    made.deadline += 200
    made.clock.advance(100)
    made.allowance.refusal = BudgetExceeded("spent")
    with pytest.raises(BudgetExceeded):
        await run(made)
    assert len(made.adapters[Provider.OPENAI].requests) == 1
    assert await made.breaker.allow(FIRST.name)


async def test_a_try_of_unknown_cost_is_not_settled() -> None:
    made = bench([ProviderFault(FaultKind.TIMEOUT, maybe_billed=True)], [answer()])
    await run(made)
    assert made.allowance.open == 1


async def test_an_answer_without_a_count_is_settled_at_an_estimate() -> None:
    made = bench([replace(answer("Oslo"), tokens=None)])
    completion = await run(made)
    assert completion.usage.estimated
    assert completion.usage.cost_microusd
    assert made.allowance.settled[0][1] == completion.usage


async def test_a_try_that_may_have_been_billed_leaves_the_known_cost_known() -> None:
    made = bench([ProviderFault(FaultKind.TIMEOUT, maybe_billed=True)], [answer()])
    completion = await run(made)
    broken, answered = (attempt.usage for attempt in completion.attempts)
    assert broken.cost_microusd is None
    assert broken.input_tokens > 0
    assert completion.usage.cost_microusd is None
    assert completion.usage.known_cost_microusd == answered.cost_microusd
    assert completion.usage.estimated


async def test_an_answer_is_limited_to_what_the_budget_has_left() -> None:
    made = bench([answer()])
    made.allowance.left = Budget(max_tokens=400)
    await run(made, max_tokens=4_000)
    (request,) = made.adapters[Provider.OPENAI].requests
    assert 256 <= request.max_tokens < 400
    assert request.cut_to_budget
    assert made.allowance.settled[0][0].output_tokens == request.max_tokens


async def test_an_answer_that_fits_is_not_limited() -> None:
    made = bench([answer()])
    made.allowance.left = Budget(max_tokens=5_000)
    await run(made, max_tokens=4_000)
    (request,) = made.adapters[Provider.OPENAI].requests
    assert (request.max_tokens, request.cut_to_budget) == (4_000, False)


async def test_an_answer_that_the_budget_cut_off_names_the_budget() -> None:
    cut = ProviderFault(FaultKind.TRUNCATED, "finish", tokens=TokenCounts(100, 300), text="Half")
    made = bench([cut])
    made.allowance.left = Budget(max_tokens=400)
    with pytest.raises(LLMOutputTruncated, match=r"at the \d+ tokens that the budget left"):
        await run(made, max_tokens=4_000)
    assert made.recorded[0].usage.total_tokens == 400
    with pytest.raises(LLMOutputTruncated, match=r"truncated finish\)"):
        await run(bench([cut]))


async def test_the_allowance_gets_the_name_of_the_model() -> None:
    made = bench([answer()])
    await run(made)
    assert made.allowance.models == [FIRST.name]


async def test_the_deadline_ends_waiting_and_asking() -> None:
    made = bench([SERVER], [answer()])
    made.deadline = made.clock.monotonic()
    error = await fails(made, LLMTimeout)
    assert error.attempts == ()


async def test_a_call_is_cut_off_at_the_deadline() -> None:
    made = Bench({Provider.OPENAI: SilentAdapter([answer()])})
    made.deadline = made.clock.monotonic() + 0.01
    asyncio.get_running_loop().call_later(0.005, made.clock.advance, 1)
    error = await fails(made, LLMTimeout)
    assert [attempt.status for attempt in error.attempts] == ["timeout"]
    assert made.allowance.open == 1
    assert dict(made.breaker.states()) == {FIRST.name: "closed"}


async def test_a_cancelled_call_is_metered_stays_open_and_hurts_no_breaker() -> None:
    made = bench([asyncio.CancelledError()], breaker_failures=1)
    with pytest.raises(asyncio.CancelledError):
        await run(made)
    assert statuses(made.recorded) == ["gpt-4.1-mini cancelled"]
    assert made.allowance.open == 1
    assert await made.breaker.allow(FIRST.name)


async def test_structured_output_is_repaired_then_asked_for_as_a_function() -> None:
    made = bench([answer("{}"), answer("nonsense"), answer('{"name": "Oslo"}')])
    completion = await run(made, schema=True)
    assert completion.parsed == City(name="Oslo")
    assert completion.usage.total_tokens == 45
    assert [attempt.status for attempt in completion.attempts] == ["invalid_output", "invalid_output", "ok"]
    modes = [request.schema_mode for request in made.adapters[Provider.OPENAI].requests]
    assert modes == [SchemaMode.NATIVE, SchemaMode.NATIVE, SchemaMode.FUNCTION]


async def test_output_that_the_server_itself_finds_invalid_is_repaired_and_teaches_nothing() -> None:
    """Groq answers 400 then, in words that sound like a refusal of functions or of JSON."""
    rejected = InvalidOutput(
        text='{"city": "Oslo"}',
        problems="Failed to call a function. The response_format, tools and json_schema are not supported.",
        tokens=None,
        served_model="gpt-4.1-mini",
        detail="400 tool_use_failed",
    )
    made = bench([rejected, answer('{"name": "Oslo"}')])
    completion = await run(made, schema=True)
    assert completion.parsed == City(name="Oslo")
    assert [(attempt.status, attempt.detail) for attempt in completion.attempts] == [
        ("invalid_output", "invalid 400 tool_use_failed"),
        ("ok", None),
    ]
    repair = made.adapters[Provider.OPENAI].requests[1].messages
    assert repair[1].content == '{"city": "Oslo"}'
    assert "Failed to call a function" in repair[2].content
    assert (await made.dialects.of(FIRST.name)) == FULL
    assert completion.usage.estimated
    assert made.allowance.open == 0


async def test_output_that_stays_invalid_fails_with_all_its_tokens() -> None:
    made = bench([answer("{}")], [answer("{}")])
    error = await fails(made, LLMOutputInvalid, schema=True)
    assert sum(attempt.usage.total_tokens for attempt in error.attempts) == 90
    assert made.allowance.open == 0


async def test_output_that_stays_invalid_is_the_next_models_turn() -> None:
    made = bench([answer("{}")], [answer('{"name": "Oslo"}')])
    completion = await run(made, schema=True)
    assert completion.parsed == City(name="Oslo")
    assert completion.usage.total_tokens == 60


async def test_an_outage_between_two_repairs_does_not_start_them_again() -> None:
    made = bench([answer("{}"), SERVER, answer('{"name": "Oslo"}')])
    completion = await run(made, schema=True)
    assert [attempt.status for attempt in completion.attempts] == ["invalid_output", "error", "ok"]
    assert len(made.adapters[Provider.OPENAI].requests[2].messages) == 3


async def test_a_chain_without_models_names_the_missing_key() -> None:
    with pytest.raises(LLMAuthFailed, match="OPENAI_API_KEY"):
        await run(bench([answer()]), hops=())
