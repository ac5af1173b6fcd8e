"""OpenAI's own SDK against the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionToolParam

TASK = "Write an article about green tea"
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "web_search",
        "description": "Searches the web.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "queries": {"type": "array", "items": {"type": "string"}}},
    "required": ["title", "queries"],
    "additionalProperties": False,
}


@pytest.fixture
def client(simulator: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{simulator}/v1", api_key="k", max_retries=0, timeout=5) as client:
        yield client


def ask(client: OpenAI, model: str = "gpt-4.1", task: str = TASK) -> str:
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": task}])
    return answer.choices[0].message.content or ""


def test_plain_and_streamed_answers_are_the_same(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="gpt-4.1",
            messages=[{"role": "user", "content": TASK}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == ask(client)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == (len(text) + 3) // 4
    assert len(chunks) < 45


def test_structured_output(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="gpt-4.1",
        messages=[{"role": "user", "content": TASK}],
        response_format={"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": SCHEMA}},
    )
    assert json.loads(answer.choices[0].message.content or "")["title"] == "Green tea"


def test_schema_that_is_not_strict_is_refused(client: OpenAI) -> None:
    schema = {**SCHEMA, "additionalProperties": True}
    with pytest.raises(openai.BadRequestError, match="additionalProperties"):
        client.chat.completions.create(
            model="gpt-4.1",
            messages=[{"role": "user", "content": TASK}],
            response_format={"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": schema}},
        )


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_are_called_and_answered(client: OpenAI, streamed: bool) -> None:
    if streamed:
        with client.chat.completions.stream(
            model="gpt-4.1", messages=[{"role": "user", "content": TASK}], tools=[TOOL]
        ) as stream:
            choice = stream.get_final_completion().choices[0]
            calls = choice.message.tool_calls or []
            name, arguments, call_id = calls[0].function.name, calls[0].function.arguments, calls[0].id
    else:
        plain = client.chat.completions.create(
            model="gpt-4.1", messages=[{"role": "user", "content": TASK}], tools=[TOOL]
        ).choices[0]
        call = (plain.message.tool_calls or [])[0]
        assert call.type == "function"
        assert plain.finish_reason == "tool_calls"
        name, arguments, call_id = call.function.name, call.function.arguments, call.id
    assert (name, json.loads(arguments)) == ("web_search", {"query": "green tea"})
    answer = client.chat.completions.create(
        model="gpt-4.1",
        tools=[TOOL],
        messages=[
            {"role": "user", "content": TASK},
            {
                "role": "assistant",
                "tool_calls": [{"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}],
            },
            {"role": "tool", "tool_call_id": call_id, "content": "Tea is grown on hills."},
        ],
    )
    assert "Tea is grown on hills." in (answer.choices[0].message.content or "")


def test_responses_plain_and_streamed(client: OpenAI) -> None:
    plain = client.responses.create(model="gpt-5.1-codex", input="Write a Rust binary search")
    assert "```rust" in plain.output_text
    with client.responses.stream(model="gpt-5.1-codex", input="Write a Rust binary search") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == plain.output_text
    assert final.usage == plain.usage
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


def test_responses_call_tools(client: OpenAI) -> None:
    function = TOOL["function"]
    with client.responses.stream(
        model="gpt-5.1-codex",
        input=TASK,
        tools=[{"type": "function", "name": function["name"], "parameters": function["parameters"], "strict": False}],
    ) as stream:
        (item,) = stream.get_final_response().output
    assert item.type == "function_call"
    assert json.loads(item.arguments) == {"query": "green tea"}


def test_responses_stop_for_length_and_refuse(client: OpenAI) -> None:
    cut = client.responses.create(model="sim-length", input=TASK)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    refused = client.responses.create(model="sim-refusal", input=TASK)
    assert refused.output[0].type == "message"
    assert refused.output[0].content[0].type == "refusal"


def test_embeddings(client: OpenAI) -> None:
    made = client.embeddings.create(model="text-embedding-3-small", input=["green tea", "green tea leaves"])
    first, second = (entry.embedding for entry in made.data)
    assert len(first) == 1536
    assert sum(a * b for a, b in zip(first, second, strict=True)) > 0.5
    assert made.usage.total_tokens > 0


def test_models(client: OpenAI) -> None:
    assert "gpt-4.1" in {model.id for model in client.models.list()}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("down", openai.InternalServerError),
        ("error", openai.InternalServerError),
        ("429", openai.RateLimitError),
        ("quota", openai.RateLimitError),
        ("401", openai.AuthenticationError),
        ("403", openai.PermissionDeniedError),
        ("404", openai.NotFoundError),
        ("context-overflow", openai.BadRequestError),
        ("reset", openai.APIConnectionError),
    ],
)
def test_faults_raise_the_sdk_s_errors(client: OpenAI, fault: str, error: type[openai.APIError]) -> None:
    with pytest.raises(error):
        ask(client, f"sim-{fault}")


def test_rate_limit_names_its_time_and_quota_its_code(client: OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as limited:
        ask(client, "sim-429")
    assert limited.value.response.headers["retry-after"] == "1"
    with pytest.raises(openai.RateLimitError) as spent:
        ask(client, "sim-quota")
    assert spent.value.code == "insufficient_quota"


@pytest.mark.parametrize("fault", ["hang", "stall", "slow-2000"])
def test_silence_ends_in_a_timeout(client: OpenAI, fault: str) -> None:
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.2), f"sim-{fault}")


def test_stream_breaks_in_the_middle(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="sim-reset", messages=[{"role": "user", "content": TASK}], stream=True
    )
    received = [next(stream) for _ in range(4)]
    assert received[-1].choices[0].delta.content
    with pytest.raises(openai.APIConnectionError):
        list(stream)


def test_once_mends(client: OpenAI) -> None:
    own = client.with_options(default_headers={"X-Task-Id": "once"})
    with pytest.raises(openai.RateLimitError):
        ask(own, "sim-429-once")
    assert ask(own, "sim-429-once")


def test_calls_are_counted_for_the_task(client: OpenAI, control: httpx.Client) -> None:
    own = client.with_options(default_headers={"X-Task-Id": "t7", "X-Request-ID": "r7", "X-Step": "write#1"})
    ask(own)
    with pytest.raises(openai.InternalServerError):
        ask(own, "sim-down")
    report = control.get("/simulator/calls", params={"task_id": "t7"}).json()
    assert report["by_step"] == {"write#1": 2}
    assert report["by_outcome"] == {"ok": 1, "down": 1}
    assert report["entries"][0]["request_id"] == "r7"


def test_model_goes_down_at_run_time(client: OpenAI, control: httpx.Client) -> None:
    control.post("/simulator/faults", json={"model": "gpt-4.1", "fault": "down", "times": 1}).raise_for_status()
    with pytest.raises(openai.InternalServerError):
        ask(client)
    assert ask(client)
