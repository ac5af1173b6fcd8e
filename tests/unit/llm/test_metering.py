from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.task import Budget
from app.domain.usage import NO_USAGE, AttemptStatus, ModelAttempt, Usage
from app.llm.chains import Hop
from app.llm.faults import FaultKind, InvalidOutput, ProviderFault
from app.llm.interface import ChatMessage, ToolCall, ToolSpec
from app.llm.metering import (
    USEFUL_OUTPUT_TOKENS,
    Meter,
    OpenAttempt,
    estimate_input_tokens,
    input_tokens_bound,
    total_usage,
)
from app.llm.pricing import TokenCounts
from app.llm.provider_table import Provider
from app.llm.providers.adapter import ProviderAnswer, ProviderRequest
from tests.unit.llm.doubles import Bench, answer

HOP = Hop(Provider.OPENAI, "gpt-4.1-mini")
UNPRICED = Hop(Provider.OPENAI, "nobody-knows")


def request(*texts: str) -> ProviderRequest:
    return ProviderRequest(model="m", messages=[ChatMessage("user", text) for text in texts], max_tokens=1_000)


@given(st.lists(st.text(), max_size=5), st.text())
def test_the_bound_grows_with_the_text(texts: list[str], more: str) -> None:
    assert input_tokens_bound(request(*texts, more)) > input_tokens_bound(request(*texts))


def test_the_bound_lies_above_what_usual_text_takes() -> None:
    words = "The quick brown fox jumps over the lazy dog. " * 100  # ten tokens a sentence in every provider's count
    assert input_tokens_bound(request(words)) > 1_000


def test_tools_count_too() -> None:
    tool = ToolSpec(name="search", description="Searches the web. " * 20, parameters={"type": "object"})
    plain = request("hi")
    with_tool = ProviderRequest(model="m", messages=plain.messages, max_tokens=1_000, tools=[tool])
    assert input_tokens_bound(with_tool) > input_tokens_bound(plain) + 100


def test_the_upper_bound_has_the_most_output_and_a_price() -> None:
    meter = Bench({}).parts().meter
    bound = meter.upper_bound(HOP, request("hi"))
    assert bound.output_tokens == 1_000
    assert bound.cost_microusd is not None
    assert bound.cost_microusd >= 1_600


def test_a_model_without_price_has_a_bound_without_cost() -> None:
    meter = Bench({}).parts().meter
    assert meter.upper_bound(UNPRICED, request("hi")).cost_microusd is None


def test_a_failed_attempt_keeps_the_tokens_it_cost() -> None:
    bench = Bench({})
    meter, attempts = bench.parts().meter, list[ModelAttempt]()
    attempt = meter.begin(HOP, bench.scope(), attempts, request("hi"))
    bench.clock.advance(0.25)
    meter.failed(attempt, ProviderFault(FaultKind.TRUNCATED, "finish", tokens=TokenCounts(100, 50), served_model="s"))
    (done,) = attempts
    assert bench.recorded == attempts
    assert (done.status, done.error_type) == (AttemptStatus.INVALID_OUTPUT, "LLM_OUTPUT_TRUNCATED")
    assert done.usage == Usage(input_tokens=100, output_tokens=50, cost_microusd=120)
    assert done.price_version is not None
    assert done.duration_ms == 250
    assert bench.sample("agents_llm_tokens_total", type="output") == 50


def test_an_unpriced_attempt_is_counted_as_such() -> None:
    bench = Bench({})
    attempts: list[ModelAttempt] = []
    meter = bench.parts().meter
    meter.succeeded(meter.begin(UNPRICED, bench.scope(), attempts, request("hi")), answer())
    assert total_usage(attempts) == Usage(input_tokens=10, output_tokens=5, cost_microusd=None)
    assert bench.sample("agents_llm_unpriced_calls_total", provider="openai", model="nobody-knows") == 1


class Metered:
    """One attempt of a meter, with the metrics that it changes."""

    def __init__(self, *texts: str, hop: Hop = HOP) -> None:
        self.bench = Bench({})
        self.meter: Meter = self.bench.parts().meter
        self.attempts: list[ModelAttempt] = []
        self.request = request(*texts)
        self.attempt: OpenAttempt = self.meter.begin(hop, self.bench.scope(), self.attempts, self.request)

    def count(self, name: str) -> float:
        return self.bench.sample(f"agents_llm_{name}_calls_total", provider="openai", model=self.attempt.hop.model)


@given(
    texts=st.lists(st.text(), min_size=1, max_size=4),
    calls=st.lists(st.builds(ToolCall, id=st.text(), name=st.text(), arguments=st.dictionaries(st.text(), st.text()))),
)
def test_an_estimate_of_the_input_is_never_above_the_bound_and_never_nothing(
    texts: list[str], calls: list[ToolCall]
) -> None:
    messages = [*request(*texts).messages, ChatMessage("assistant", "", tool_calls=tuple(calls))]
    asked = replace(request(), messages=messages)
    assert 0 < estimate_input_tokens(asked) <= input_tokens_bound(asked)


@pytest.mark.parametrize("tokens", [None, TokenCounts(0, 0), TokenCounts(0, 7), TokenCounts(7, 0)])
def test_what_the_provider_did_not_count_is_estimated_and_marked(tokens: TokenCounts | None) -> None:
    metered = Metered("Write about tidal energy. " * 20)
    done = metered.meter.succeeded(metered.attempt, replace(answer("The tides rise and fall. " * 20), tokens=tokens))
    assert done.usage.estimated
    assert done.usage.input_tokens == (tokens.input if tokens and tokens.input else 134)
    assert done.usage.output_tokens == (tokens.output if tokens and tokens.output else 125)
    assert done.usage.cost_microusd
    assert done.price_version is not None
    assert metered.count("estimated") == 1


def test_the_providers_own_count_is_not_marked() -> None:
    metered = Metered("hi")
    assert not metered.meter.succeeded(metered.attempt, answer()).usage.estimated
    assert metered.count("estimated") == 0


def test_tool_calls_of_an_answer_without_a_count_are_estimated() -> None:
    metered = Metered("hi")
    calls = (ToolCall("1", "web_search", {"query": "tidal energy in Europe"}),)
    done = metered.meter.succeeded(metered.attempt, replace(answer(""), tokens=None, tool_calls=calls))
    assert done.usage.output_tokens > 5


def test_an_estimate_never_exceeds_what_was_reserved() -> None:
    metered = Metered("hi")
    done = metered.meter.succeeded(metered.attempt, replace(answer("word " * 9_000), tokens=None))
    assert done.usage.output_tokens == metered.request.max_tokens


@pytest.mark.parametrize(
    ("fault", "output"),
    [
        (ProviderFault(FaultKind.TRUNCATED, "finish", text="Half an answer"), 4),
        (ProviderFault(FaultKind.TRUNCATED, "finish", text=""), 1_000),
        (ProviderFault(FaultKind.EMPTY, "finish", text=""), 0),
        (ProviderFault(FaultKind.REFUSED, "finish", text="I cannot."), 3),
        (InvalidOutput(text="{}", problems="", tokens=None, served_model="s"), 1),
    ],
    ids=["cut off", "thought only", "empty", "refused", "invalid"],
)
def test_an_unusable_answer_without_a_count_was_paid_for(fault: ProviderFault, output: int) -> None:
    metered = Metered("Write about tidal energy.")
    done = metered.meter.failed(metered.attempt, fault)
    assert (done.usage.estimated, done.usage.output_tokens) == (True, output)
    assert done.usage.cost_microusd


def test_a_refused_request_cost_nothing() -> None:
    metered = Metered("hi")
    assert metered.meter.failed(metered.attempt, ProviderFault(FaultKind.SERVER, "503")).usage == NO_USAGE


def test_a_call_that_broke_off_has_an_unknown_cost_and_the_tokens_of_its_request() -> None:
    metered = Metered("Write about tidal energy.")
    done = metered.meter.failed(metered.attempt, ProviderFault(FaultKind.TIMEOUT, maybe_billed=True))
    assert done.usage == Usage(input_tokens=11, cost_microusd=None, estimated=True)
    assert (metered.count("unpriced"), metered.count("estimated")) == (1, 1)
    cancelled = Metered("Write about tidal energy.")
    assert cancelled.meter.cancelled(cancelled.attempt).usage == done.usage


def test_a_skipped_attempt_is_exactly_nothing() -> None:
    bench, attempts = Bench({}), list[ModelAttempt]()
    fault = ProviderFault(FaultKind.BREAKER_OPEN)
    done = bench.parts().meter.skipped(HOP, bench.scope(), attempts, fault)
    assert attempts == bench.recorded == [done]
    assert (done.status, done.usage, done.detail) == (AttemptStatus.SKIPPED, NO_USAGE, "breaker_open")


@pytest.mark.parametrize(
    ("served", "recorded"),
    [
        ("gpt-4.1", "gpt-4.1"),
        ({"id": "m"}, None),
        (5, None),
        (None, None),
        ("a\0b\ud800", "ab?"),
        ("m" * 999, "m" * 200),
    ],
    ids=str,
)
def test_whatever_name_the_provider_sends_the_paid_answer_is_recorded(served: Any, recorded: str | None) -> None:
    metered = Metered("hi")
    done = metered.meter.succeeded(metered.attempt, ProviderAnswer("Hello.", TokenCounts(1, 1), served))
    assert done.served_model == recorded


@given(tokens=st.integers(0, 6_000), micro=st.integers(0, 8_000))
def test_a_shortened_call_fits_and_a_longer_one_would_not(tokens: int, micro: int) -> None:
    meter = Bench({}).parts().meter
    asked, left = request("hi"), Budget(max_tokens=tokens, max_cost_microusd=micro)
    bound = meter.shortened_bound(HOP, asked, left)
    assert USEFUL_OUTPUT_TOKENS <= bound.output_tokens <= asked.max_tokens
    if bound.output_tokens > USEFUL_OUTPUT_TOKENS:
        assert left.covers(bound)
    if bound.output_tokens < asked.max_tokens:
        assert not left.covers(meter.upper_bound(HOP, replace(asked, max_tokens=bound.output_tokens + 1)))
    assert bound == meter.upper_bound(HOP, replace(asked, max_tokens=bound.output_tokens))


@pytest.mark.parametrize(
    ("fields", "least"),
    [
        ({}, 256),
        ({"thinks": True}, 1_280),
        ({"thinks": True, "effort": "low"}, 1_280),
        ({"thinks": True, "effort": "none"}, 256),
        ({"thinks": True, "max_tokens": 500}, 500),
    ],
)
def test_a_model_that_thinks_is_left_the_tokens_to_think(fields: dict[str, Any], least: int) -> None:
    meter = Bench({}).parts().meter
    asked = replace(request("hi"), **{"max_tokens": 12_000, **fields})
    assert meter.shortened_bound(HOP, asked, Budget(max_tokens=1)).output_tokens == least
    enough = Budget(max_tokens=input_tokens_bound(asked) + least)
    assert enough.covers(meter.shortened_bound(HOP, asked, enough))


def test_a_limit_below_a_useful_answer_is_not_shortened() -> None:
    meter = Bench({}).parts().meter
    asked = replace(request("hi"), max_tokens=100)
    assert meter.shortened_bound(HOP, asked, Budget(max_tokens=50)) == meter.upper_bound(HOP, asked)
