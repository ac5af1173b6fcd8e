"""Anthropic's own SDK against the simulator."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import ToolParam

TASK = "Write an article about green tea"
TOOL: ToolParam = {
    "name": "web_search",
    "description": "Searches the web.",
    "input_schema": {"type": "object", "properties": {"query": {"type": "string"}}},
}


@pytest.fixture
def client(simulator: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=simulator, api_key="k", max_retries=0, timeout=5) as client:
        yield client


def test_plain_and_streamed_answers_are_the_same(client: Anthropic) -> None:
    plain = client.messages.create(
        model="claude-sonnet-5", max_tokens=4_000, messages=[{"role": "user", "content": TASK}]
    )
    with client.messages.stream(
        model="claude-sonnet-5", max_tokens=4_000, messages=[{"role": "user", "content": TASK}]
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert plain.content[0].type == "text"
    assert text == plain.content[0].text
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", plain.usage.output_tokens)


def test_tools_are_called_and_answered(client: Anthropic) -> None:
    with client.messages.stream(
        model="claude-sonnet-5", max_tokens=4_000, tools=[TOOL], messages=[{"role": "user", "content": TASK}]
    ) as stream:
        asked = stream.get_final_message()
    assert asked.stop_reason == "tool_use"
    use = asked.content[0]
    assert use.type == "tool_use"
    assert use.input == {"query": "green tea"}
    answer = client.messages.create(
        model="claude-sonnet-5",
        max_tokens=4_000,
        tools=[TOOL],
        messages=[
            {"role": "user", "content": TASK},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": use.id, "name": use.name, "input": use.input}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "Tea is grown."}]},
        ],
    )
    assert answer.content[0].type == "text"
    assert "Tea is grown." in answer.content[0].text


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("down", anthropic.InternalServerError),
        ("overloaded", anthropic.InternalServerError),
        ("429", anthropic.RateLimitError),
        ("401", anthropic.AuthenticationError),
        ("404", anthropic.NotFoundError),
        ("context-overflow", anthropic.BadRequestError),
        ("reset", anthropic.APIConnectionError),
    ],
)
def test_faults_raise_the_sdk_s_errors(client: Anthropic, fault: str, error: type[anthropic.APIError]) -> None:
    with pytest.raises(error):
        client.messages.create(
            model=f"claude-sim-{fault}", max_tokens=100, messages=[{"role": "user", "content": TASK}]
        )


def test_short_allowance_ends_for_length(client: Anthropic) -> None:
    cut = client.messages.create(model="claude-sonnet-5", max_tokens=50, messages=[{"role": "user", "content": TASK}])
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 50)
