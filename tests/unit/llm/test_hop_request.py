from __future__ import annotations

import pytest

from app.llm.chains import Hop
from app.llm.hop_request import LONGEST_SILENCE_SECONDS, HopRequests
from app.llm.interface import ChatMessage, ToolSpec
from app.llm.provider_table import Provider
from app.llm.providers.adapter import OutputSchema, ProviderRequest, SchemaMode, ask_for_a_call
from app.llm.server_dialect import FULL, Dialect, Feature
from app.settings import LLMSettings

SETTINGS = LLMSettings(timeout_seconds=5, silence_seconds=60, thinking_tokens=8000)
PLAIN, THINKING = Hop(Provider.OPENAI, "gpt-4.1"), Hop(Provider.OPENAI, "gpt-6.1-terra")
CLAUDE = Hop(Provider.ANTHROPIC, "claude-sonnet-5-5")
MESSAGES = (ChatMessage("system", "Be short."), ChatMessage("user", "Why?"))
SCHEMA = OutputSchema(name="City", schema={"type": "object"})
TOOL = ToolSpec(name="search", description="Searches.", parameters={"type": "object"})


def fit(
    hop: Hop = PLAIN,
    *,
    dialect: Dialect = FULL,
    earlier_runs: int = 0,
    elsewhere: tuple[Provider, ...] = (),
    **fields: object,
) -> ProviderRequest:
    request = ProviderRequest(**{"model": "", "messages": MESSAGES, "max_tokens": 1000, "effort": "low", **fields})  # type: ignore[arg-type]  # fields of the tests below
    requests = HopRequests(SETTINGS, elsewhere=elsewhere)
    return requests.fit(request, hop, dialect=dialect, headers={"X-Task-Id": "t"}, earlier_runs=earlier_runs)


def test_the_hop_gives_model_and_headers() -> None:
    request = fit()
    assert (request.model, dict(request.headers)) == ("gpt-4.1", {"X-Task-Id": "t"})


@pytest.mark.parametrize(
    ("hop", "elsewhere", "seconds"),
    [
        (PLAIN, (), 5.0),
        (THINKING, (), 60.0),
        (CLAUDE, (), 60.0),
        (PLAIN, (Provider.OPENAI,), 60.0),
        (PLAIN, (Provider.ANTHROPIC,), 5.0),
    ],
)
def test_thinking_models_and_servers_of_ones_own_get_more_time(
    hop: Hop, elsewhere: tuple[Provider, ...], seconds: float
) -> None:
    assert fit(hop, elsewhere=elsewhere).silence_seconds == seconds


@pytest.mark.parametrize(("runs", "plain", "thinking"), [(1, 10, 120), (2, 20, 240), (4, 60, 900), (9, 60, 900)])
def test_a_later_run_of_a_task_waits_longer(runs: int, plain: float, thinking: float) -> None:
    assert fit(PLAIN, earlier_runs=runs).silence_seconds == plain
    assert fit(THINKING, earlier_runs=runs).silence_seconds == thinking <= LONGEST_SILENCE_SECONDS


def test_thinking_has_an_allowance_of_its_own_and_an_effort() -> None:
    assert (fit(PLAIN).max_tokens, fit(PLAIN).effort) == (1000, "")
    assert (fit(THINKING).max_tokens, fit(THINKING).effort) == (9000, "low")
    assert fit(THINKING, dialect=FULL.without(Feature.EFFORT)).effort == ""
    assert fit(THINKING, dialect=Dialect(max_output_tokens=4096)).max_tokens == 4096


def test_the_tenant_is_named_to_the_vendors_themselves_and_to_no_other_server() -> None:
    assert fit(end_user="e1").end_user == "e1"
    assert fit(CLAUDE, end_user="e1", elsewhere=(Provider.OPENAI,)).end_user == "e1"
    assert fit(end_user="e1", elsewhere=(Provider.OPENAI,)).end_user == ""
    assert fit(end_user="e1", dialect=FULL.without(Feature.END_USER)).end_user == ""


def test_a_vendor_at_its_own_address_is_always_told_to_store_nothing() -> None:
    assert Feature.STORE not in fit().features()
    assert Feature.STORE in fit(elsewhere=(Provider.OPENAI,)).features()
    assert Feature.STORE not in fit(elsewhere=(Provider.OPENAI,), dialect=FULL.without(Feature.STORE)).features()


@pytest.mark.parametrize(
    ("refused", "mode"),
    [
        ((), SchemaMode.NATIVE),
        ((Feature.JSON_SCHEMA,), SchemaMode.FUNCTION),
        ((Feature.JSON_SCHEMA, Feature.FUNCTION), SchemaMode.PROMPT),
    ],
)
def test_structured_output_is_asked_for_in_the_best_way_that_is_left(
    refused: tuple[Feature, ...], mode: SchemaMode
) -> None:
    request = fit(output=SCHEMA, dialect=Dialect(frozenset(refused)))
    assert request.schema_mode is mode
    assert ('{"type": "object"}' in request.messages[0].content) is (mode is SchemaMode.PROMPT)
    assert [message.role for message in request.messages] == ["system", "user"]


def test_a_tool_that_must_be_called_is_asked_for_in_words_where_it_cannot_be_forced() -> None:
    forced = fit(tools=(TOOL,), must_call_tool=True)
    assert (forced.must_call_tool, forced.messages) == (True, MESSAGES)
    worded = fit(tools=(TOOL,), must_call_tool=True, dialect=FULL.without(Feature.TOOL_CHOICE))
    assert not worded.must_call_tool
    assert [message.role for message in worded.messages] == ["system", "user"]
    assert worded.messages[0].content == f"Be short.\n\n{ask_for_a_call([TOOL])}"
    assert Feature.TOOL_CHOICE in forced.features() - worded.features()


def test_without_a_system_role_its_text_comes_before_the_question() -> None:
    dialect = FULL.without(Feature.SYSTEM_ROLE)
    assert fit(dialect=dialect).messages == (ChatMessage("user", "Be short.\n\nWhy?"),)
    only_user = (ChatMessage("user", "Why?"),)
    assert fit(dialect=dialect, messages=only_user).messages == only_user
    only_system = (ChatMessage("system", "Be short."),)
    assert fit(dialect=dialect, messages=only_system).messages == (ChatMessage("user", "Be short."),)


def test_without_streaming_the_answer_is_asked_for_whole() -> None:
    assert fit().stream
    assert not fit(dialect=FULL.without(Feature.STREAMING)).stream
