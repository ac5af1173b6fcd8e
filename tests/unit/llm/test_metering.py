from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.usage import AttemptStatus, ModelAttempt, Usage
from app.llm.chains import Hop
from app.llm.faults import FaultKind, ProviderFault
from app.llm.interface import ChatMessage, ToolSpec
from app.llm.metering import input_tokens_bound, total_usage
from app.llm.pricing import TokenCounts
from app.llm.provider_table import Provider
from app.llm.providers.adapter import ProviderRequest
from tests.unit.llm.doubles import Bench, answer

HOP = Hop(Provider.OPENAI, "gpt-4.1-mini")


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
    assert meter.upper_bound(Hop(Provider.OPENAI, "nobody-knows"), request("hi")).cost_microusd is None


def test_a_failed_attempt_keeps_the_tokens_it_cost() -> None:
    bench = Bench({})
    meter, attempts = bench.parts().meter, list[ModelAttempt]()
    attempt = meter.begin(HOP, bench.scope(), attempts)
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
    meter.succeeded(meter.begin(Hop(Provider.OPENAI, "nobody-knows"), bench.scope(), attempts), answer())
    assert total_usage(attempts) == Usage(input_tokens=10, output_tokens=5, cost_microusd=None)
    assert bench.sample("agents_llm_unpriced_calls_total", provider="openai", model="nobody-knows") == 1
