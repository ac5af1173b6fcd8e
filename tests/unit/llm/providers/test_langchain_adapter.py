"""The LangChain adapter with chat models of our own: what is sent, what is read, and what each error becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError

from app.errors import ConfigurationError
from app.llm.chains import Hop
from app.llm.faults import FaultKind, InvalidOutput, ProviderFault
from app.llm.hop_request import HopRequests
from app.llm.interface import ChatMessage, ToolCall, ToolSpec
from app.llm.langchain_vendors import VENDORS, dialect_of, price_list, require_installed, split_model
from app.llm.pricing import TokenCounts
from app.llm.providers.adapter import Finish, OutputSchema, ProviderRequest, SchemaMode
from app.llm.providers.langchain_adapter import LangChainAdapter
from app.llm.server_dialect import FULL, Dialect, Feature, refused_feature
from app.settings import LLMSettings

QUESTION = "Name the capital of Norway."
SEARCH = ToolSpec("web_search", "Searches the web.", {"type": "object", "properties": {}})
Piece = AIMessageChunk | BaseException | str
SILENCE = "silence"


class FakeChatModel(BaseChatModel):
    """A chat model that gives `pieces` in order: chunks, errors to raise, or `SILENCE`, after which nothing comes."""

    pieces: list[Any] = Field(default_factory=list)
    max_tokens: int | None = None
    reasoning_effort: str | None = None
    key: SecretStr = SecretStr("a-secret-key")
    _asked: list[Any] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=tools, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._asked.append((messages, kwargs, self.max_tokens, self.reasoning_effort))
        return ChatResult(generations=[ChatGeneration(message=self.pieces[0])])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._asked.append((messages, kwargs, self.max_tokens, self.reasoning_effort))
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            if piece is SILENCE:
                await asyncio.Event().wait()
            yield ChatGenerationChunk(message=piece)


class Deaf(FakeChatModel):
    """A chat model that cannot be offered functions."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        raise NotImplementedError


def adapter_of(*pieces: Piece | AIMessage, kind: type[FakeChatModel] = FakeChatModel) -> LangChainAdapter:
    model = kind(pieces=list(pieces))
    return LangChainAdapter("azure", build=lambda *_, **__: model)


def request(**fields: Any) -> ProviderRequest:
    messages = (ChatMessage("system", "You are brief."), ChatMessage("user", QUESTION))
    given: dict[str, Any] = {"max_tokens": 100, "dialect": dialect_of("azure"), "messages": messages} | fields
    return ProviderRequest(**{"model": "m"} | given)


def chunk(text: str = "", **fields: Any) -> AIMessageChunk:
    return AIMessageChunk(content=text, **fields)


def end(reason: Any = "stop", name: str = "finish_reason") -> AIMessageChunk:
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "input_token_details": {"cache_read": 4}}
    return chunk(response_metadata={name: reason, "model_name": "served"}, usage_metadata=usage)


async def fault_of(*pieces: Piece, **fields: Any) -> ProviderFault:
    with pytest.raises(ProviderFault) as raised:
        await adapter_of(*pieces).answer(request(**fields))
    return raised.value


async def test_a_streamed_answer_is_put_together() -> None:
    passed: list[str] = []
    answer = await adapter_of(chunk("Os"), chunk("lo."), end()).answer(request(on_text=passed.append))
    assert (answer.text, "".join(passed), answer.served_model) == ("Oslo.", "Oslo.", "served")
    assert answer.tokens == TokenCounts(7, 3, cache_read=4)
    assert answer.finish is Finish.DONE


async def test_a_whole_answer_is_read_without_a_stream() -> None:
    message = AIMessage("Oslo.", response_metadata={"stop_reason": "end_turn", "model": "served"})
    answer = await adapter_of(message).answer(request(stream=False))
    assert (answer.text, answer.served_model, answer.tokens) == ("Oslo.", "served", None)


async def test_counts_that_come_in_parts_are_added_up() -> None:
    parts = [
        chunk("a", usage_metadata={"input_tokens": 7, "output_tokens": 0, "total_tokens": 7}),
        chunk("b", usage_metadata={"input_tokens": 0, "output_tokens": 2, "total_tokens": 2}),
    ]
    parts.append(chunk(response_metadata={"stop_reason": "end_turn"}))
    assert (await adapter_of(*parts).answer(request())).tokens == TokenCounts(7, 2)


async def test_thinking_is_no_part_of_the_text() -> None:
    blocks = chunk()
    blocks.content = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Oslo."}]
    assert (await adapter_of(blocks, end()).answer(request())).text == "Oslo."


class Reason(Enum):
    MAX_TOKENS = 2
    SAFETY = 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("finish_reason", "length"),
        ("stop_reason", "max_tokens"),
        ("stopReason", "max_tokens"),
        ("done_reason", "length"),
        ("finish_reason", "MAX_TOKENS"),
        ("finish_reason", Reason.MAX_TOKENS),
    ],
)
async def test_a_cut_off_answer_is_marked_whatever_the_vendor_calls_it(name: str, reason: object) -> None:
    answer = await adapter_of(chunk("Os"), end(reason, name)).answer(request())
    assert (answer.text, answer.finish) == ("Os", Finish.LENGTH)


@pytest.mark.parametrize("reason", ["content_filter", "refusal", Reason.SAFETY, "guardrail_intervened"])
async def test_a_refused_answer_is_a_refusal(reason: object) -> None:
    assert (await fault_of(chunk("I"), end(reason))).kind is FaultKind.REFUSED


async def test_an_empty_answer_is_empty() -> None:
    assert (await fault_of(end())).kind is FaultKind.EMPTY


def call_piece(**piece: Any) -> AIMessageChunk:
    return chunk(tool_call_chunks=[{"type": "tool_call_chunk", "id": None, "name": None, "args": "", **piece}])


async def test_tool_calls_grow_piece_by_piece() -> None:
    pieces = [
        call_piece(index=0, id="c1", name="web_search", args='{"qu'),
        call_piece(index=0, args='ery": "Oslo"}'),
        call_piece(index=1, id="c2", name="web_search", args="{}"),
        end("tool_calls"),
    ]
    answer = await adapter_of(*pieces).answer(request(tools=(SEARCH,)))
    assert answer.tool_calls == (ToolCall("c1", "web_search", {"query": "Oslo"}), ToolCall("c2", "web_search", {}))


async def test_arguments_that_are_cut_off_are_no_call() -> None:
    with pytest.raises(InvalidOutput):
        await adapter_of(call_piece(index=0, id="c1", name="web_search", args='{"qu'), end()).answer(
            request(tools=(SEARCH,))
        )


async def test_a_schema_is_asked_for_as_a_function() -> None:
    model = FakeChatModel(pieces=[call_piece(index=0, id="c", name="Place", args='{"city": "Oslo"}'), end()])
    adapter = LangChainAdapter("azure", build=lambda *_, **__: model)
    output = OutputSchema("Place", {"type": "object", "properties": {"city": {"type": "string"}}})
    answer = await adapter.answer(request(output=output, schema_mode=SchemaMode.FUNCTION))
    (asked,) = model._asked
    assert answer.text == '{"city": "Oslo"}'
    assert [tool["function"]["name"] for tool in asked[1]["tools"]] == ["Place"]
    assert asked[1]["tool_choice"] == "any"


@pytest.mark.parametrize(("dialect", "forced"), [(FULL, True), (FULL.without(Feature.TOOL_CHOICE), False)])
async def test_a_call_that_must_be_made_is_forced_unless_that_was_refused(dialect: Dialect, forced: bool) -> None:
    model = FakeChatModel(pieces=[call_piece(index=0, id="c", name="web_search", args="{}"), end()])
    wanted = request(tools=(SEARCH,), must_call_tool=True, dialect=dialect)
    await LangChainAdapter("azure", build=lambda *_, **__: model).answer(wanted)
    (asked,) = model._asked
    assert ("tool_choice" in asked[1]) is forced


async def test_a_model_without_functions_is_asked_in_words_next() -> None:
    output = OutputSchema("Place", {"type": "object"})
    wanted = request(output=output, schema_mode=SchemaMode.FUNCTION)
    with pytest.raises(ProviderFault) as raised:
        await adapter_of(end(), kind=Deaf).answer(wanted)
    assert raised.value.refusal is not None
    assert refused_feature(raised.value.refusal, wanted.features()) is Feature.FUNCTION


async def test_limit_and_effort_go_into_the_fields_that_the_class_has() -> None:
    model = FakeChatModel(pieces=[chunk("Oslo."), end()])
    adapter = LangChainAdapter("azure", build=lambda *_, **__: model)
    await adapter.answer(request(max_tokens=77, effort="low"))
    await adapter.answer(request(max_tokens=78))
    assert [asked[2:] for asked in model._asked] == [(77, "low"), (78, None)]
    assert model.max_tokens is None


async def test_a_conversation_with_tools_is_passed_on() -> None:
    model = FakeChatModel(pieces=[chunk("Oslo."), end()])
    history = (
        ChatMessage("user", QUESTION),
        ChatMessage("assistant", "", tool_calls=(ToolCall("c1", "web_search", {"query": "x"}),)),
        ChatMessage("tool", "Oslo is the capital.", tool_call_id="c1"),
    )
    await LangChainAdapter("azure", build=lambda *_, **__: model).answer(request(messages=history))
    ((sent, *_),) = model._asked
    assert [message.type for message in sent] == ["human", "ai", "tool"]
    assert sent[1].tool_calls[0]["args"] == {"query": "x"}
    assert sent[2].tool_call_id == "c1"


async def test_silence_is_a_timeout_that_may_be_billed() -> None:
    fault = await fault_of(chunk("Os"), SILENCE, silence_seconds=0.05)
    assert (fault.kind, fault.maybe_billed) == (FaultKind.TIMEOUT, True)


async def test_a_stream_that_breaks_after_its_end_is_whole() -> None:
    answer = await adapter_of(chunk("Oslo."), end(), ConnectionResetError()).answer(request())
    assert answer.text == "Oslo."


class Refusal(Exception):
    """An error as the clients of OpenAI and Anthropic raise it."""

    def __init__(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"Error code: {status} - {body}")
        self.status_code = status
        self.body = body
        self.response = type("Response", (), {"headers": headers or {}, "status_code": status})()


class GoogleError(Exception):
    def __init__(self) -> None:
        super().__init__("429 RESOURCE_EXHAUSTED")
        self.code = 429
        self.details = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Too many."}}


class Wrapped(Exception):
    pass


class AwsError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": {"retry-after": "3"}}
        self.response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refusal(401, {"message": "Access denied", "code": "401"}), FaultKind.AUTH),
        (Refusal(429, {"message": "Slow down"}, {"retry-after": "3"}), FaultKind.RATE_LIMITED),
        (Refusal(404, {"code": "DeploymentNotFound", "message": "No deployment"}), FaultKind.MODEL_NOT_FOUND),
        (Refusal(400, {"code": "content_filter", "message": "Filtered"}), FaultKind.REFUSED),
        (Refusal(403, "<html><body>Forbidden</body></html>"), FaultKind.WRONG_ENDPOINT),
        (Refusal(503, None), FaultKind.SERVER),
        (GoogleError(), FaultKind.RATE_LIMITED),
        (AwsError(429, "ThrottlingException", "Too many tokens"), FaultKind.RATE_LIMITED),
        (AwsError(403, "AccessDeniedException", "You don't have access to the model"), FaultKind.AUTH),
        (AwsError(400, "ValidationException", "Input is too long for requested model."), FaultKind.CONTEXT_OVERFLOW),
        (AwsError(424, "ModelErrorException", "The model failed"), FaultKind.SERVER),
        (type("NoCredentialsError", (Exception,), {})("Unable to locate credentials"), FaultKind.AUTH),
        (type("ReadTimeoutError", (Exception,), {})(), FaultKind.TIMEOUT),
        (type("ConnectTimeout", (Exception,), {})(), FaultKind.UNREACHABLE),
        (type("EndpointConnectionError", (Exception,), {})(), FaultKind.UNREACHABLE),
        (type("APIConnectionError", (Exception,), {})(), FaultKind.UNREACHABLE),
        (ConnectionResetError(), FaultKind.UNREACHABLE),
        (RuntimeError("whatever"), FaultKind.BROKEN_ANSWER),
    ],
    ids=lambda value: getattr(value, "value", type(value).__name__),
)
async def test_every_error_is_read_by_its_status(error: Exception, kind: FaultKind) -> None:
    assert (await fault_of(error)).kind is kind


async def test_the_error_behind_a_wrapper_counts() -> None:
    wrapped = Wrapped("Something failed")
    wrapped.__cause__ = GoogleError()
    assert (await fault_of(wrapped)).kind is FaultKind.RATE_LIMITED


async def test_a_wait_that_the_vendor_asks_for_is_kept() -> None:
    assert (await fault_of(Refusal(429, {"message": "Slow"}, {"retry-after": "3"}))).retry_after == 3


async def test_neither_the_key_nor_the_prompt_is_shown() -> None:
    told = {"message": f"Wrong key a-secret-key for: {QUESTION}"}
    shown = str(await fault_of(Refusal(400, told)))
    assert "a-secret-key" not in shown
    assert "capital of Norway" not in shown


async def test_an_unknown_error_shows_its_class_and_not_its_text() -> None:
    shown = str(await fault_of(RuntimeError("a-secret-key and a prompt")))
    assert shown == "broken_answer RuntimeError"


async def test_a_cancelled_call_ends_its_stream() -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    class Endless(FakeChatModel):
        async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
            try:
                yield ChatGenerationChunk(message=chunk("Os"))
                begun.set()
                await asyncio.Event().wait()
            finally:
                closed.set()

    asking = asyncio.create_task(adapter_of(kind=Endless).answer(request()))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert closed.is_set()


async def test_an_error_of_the_listener_is_none_of_the_stream() -> None:
    def deaf(_text: str) -> None:
        raise RuntimeError

    with pytest.raises(ProviderFault, match="RuntimeError"):
        await adapter_of(chunk("Oslo. " * 100), end()).answer(request(on_text=deaf))


@pytest.mark.parametrize(
    ("metadata", "finish"),
    [
        ({"status": "completed"}, Finish.DONE),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, Finish.LENGTH),
    ],
)
async def test_the_status_of_a_response_is_its_end(metadata: dict[str, Any], finish: Finish) -> None:
    answer = await adapter_of(chunk("Os"), chunk(response_metadata=metadata)).answer(request())
    assert answer.finish is finish


async def test_a_stream_that_ends_without_a_reason_is_cut_off() -> None:
    fault = await fault_of(chunk("Os"))
    assert (fault.kind, fault.maybe_billed) == (FaultKind.UNREACHABLE, True)
    adapter, _ = building(FakeChatModel(pieces=[chunk("Oslo.")]))
    assert (await adapter.answer(request(model="own/large"))).text == "Oslo."


class StreamError(Exception):
    """An error event of a stream, as OpenAI's client raises it."""

    def __init__(self, code: str) -> None:
        super().__init__("An error occurred during streaming")
        self.body = {"code": code, "message": "No."}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("content_filter", FaultKind.REFUSED),
        ("insufficient_quota", FaultKind.QUOTA),
        ("context_length_exceeded", FaultKind.CONTEXT_OVERFLOW),
        ("server_error", FaultKind.SERVER),
    ],
)
async def test_an_error_inside_a_stream_is_read_as_what_it_names(code: str, kind: FaultKind) -> None:
    assert (await fault_of(chunk("Os"), StreamError(code))).kind is kind


@pytest.mark.parametrize("error", [ValueError("bad effort"), type("ParamValidationError", (Exception,), {})()])
async def test_what_the_integration_refuses_to_send_costs_nothing(error: Exception) -> None:
    fault = await fault_of(error)
    assert (fault.kind, fault.maybe_billed) == (FaultKind.BAD_REQUEST, False)
    assert (await fault_of(chunk("Os"), error)).kind is FaultKind.BROKEN_ANSWER


def building(*outcomes: BaseException | BaseChatModel) -> tuple[LangChainAdapter, list[dict[str, Any]]]:
    calls: list[dict[str, Any]] = []
    left = list(outcomes)

    def build(model: str, **options: Any) -> BaseChatModel:
        calls.append({"model": model, **options})
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return LangChainAdapter("langchain", build=build), calls


async def test_a_model_is_built_once_without_retries_of_its_own() -> None:
    adapter, calls = building(FakeChatModel(pieces=[chunk("Oslo."), end()]))
    for _ in range(2):
        await adapter.answer(request(model="mistralai/large"))
    assert calls == [{"model": "large", "model_provider": "mistralai", "max_retries": 0}]


async def test_google_counts_attempts_instead_of_retries() -> None:
    adapter, calls = building(FakeChatModel(pieces=[chunk("Oslo."), end()]))
    await adapter.answer(request(model="google_vertexai/gemini"))
    assert calls[0]["max_retries"] == 1


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


def refused_field(name: str) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        Strict.model_validate({name: 0})
    return raised.value


async def test_an_integration_that_has_no_retries_is_built_without() -> None:
    adapter, calls = building(refused_field("max_retries"), FakeChatModel(pieces=[chunk("Oslo."), end()]))
    assert (await adapter.answer(request(model="own/large"))).text == "Oslo."
    assert "max_retries" not in calls[1]


def missing(package: str) -> ImportError:
    """Builds the error as LangChain does, from the one of the import."""
    error = ImportError(f"Initializing it requires the {package} package.")
    error.__cause__ = ModuleNotFoundError(name=package)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (refused_field("region"), FaultKind.AUTH, "own raised ValidationError"),
        (ValueError("a-secret-key"), FaultKind.AUTH, "own raised ValueError"),
        (missing("langchain_own"), FaultKind.WRONG_ENDPOINT, "langchain_own is not installed"),
        (ImportError("a-secret-key"), FaultKind.WRONG_ENDPOINT, "a package that it needs is not installed"),
        (ConfigurationError("HTTPS_PROXY is not an HTTP proxy."), FaultKind.WRONG_ENDPOINT, "HTTPS_PROXY"),
    ],
)
async def test_a_model_that_cannot_be_built_is_a_fault_of_the_configuration(
    error: Exception, kind: FaultKind, told: str
) -> None:
    adapter, _ = building(error)
    with pytest.raises(ProviderFault, match=told) as raised:
        await adapter.answer(request(model="own/large"))
    assert raised.value.kind is kind
    assert "a-secret-key" not in str(raised.value)


@pytest.mark.parametrize("when", ["built", "asked"])
async def test_a_proxy_that_an_integration_cannot_use_is_named_and_no_key_is_blamed(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:proxy-password@127.0.0.1:1080")
    error = ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")
    adapter, _ = building(error if when == "built" else FakeChatModel(pieces=[error]))
    with pytest.raises(ProviderFault, match="ALL_PROXY is not an HTTP proxy") as raised:
        await adapter.answer(request(model="own/large"))
    assert raised.value.kind is FaultKind.WRONG_ENDPOINT
    assert "proxy-password" not in str(raised.value)


async def test_a_refused_key_names_the_variables_of_the_vendor() -> None:
    assert "AZURE_OPENAI_API_KEY" in (await fault_of(Refusal(401, {"message": "Access denied"}))).detail


async def test_a_page_of_another_server_names_the_variables_of_the_vendor() -> None:
    fault = await fault_of(Refusal(403, "<!DOCTYPE html><html><body>a sign-in page</body></html>"))
    assert "AZURE_OPENAI_ENDPOINT" in fault.detail
    assert "sign-in" not in fault.detail


async def test_all_clients_are_closed_although_one_cannot_be() -> None:
    closed: list[str] = []

    class Client:
        def __init__(self, name: str) -> None:
            self._name = name

        async def close(self) -> None:
            closed.append(self._name)
            raise ConnectionResetError

    class WithClients(FakeChatModel):
        root_async_client: Any = None

    models = [WithClients(pieces=[chunk("a"), end()], root_async_client=Client(name)) for name in ("a", "b")]
    adapter, _ = building(*models)
    for name in ("own/a", "own/b"):
        await adapter.answer(request(model=name))
    with pytest.raises(ConnectionResetError):
        await adapter.aclose()
    assert sorted(closed) == ["a", "b"]


def test_a_hop_of_any_provider_names_it() -> None:
    assert split_model("langchain", "mistralai/large/v2") == ("mistralai", "large/v2")
    for wrong in ("large", "/large", "mistralai/"):
        with pytest.raises(ConfigurationError, match="provider/model"):
            split_model("langchain", wrong)


def test_a_vendor_without_its_package_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"agent-orchestrator\[bedrock\]"):
        require_installed("bedrock")
    require_installed("langchain")


def test_published_prices_hold_at_the_vendors_own_address_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (price_list("bedrock"), price_list("google")) == ("aws", "google")
    assert [price_list(name) for name in ("azure", "ollama", "langchain")] == [None, None, None]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert price_list("bedrock") is None


def test_a_hop_of_langchain_is_patient_and_asks_for_a_schema_as_its_vendor_can_be_asked() -> None:
    requests = HopRequests(LLMSettings(silence_seconds=120), elsewhere=())
    output = OutputSchema("Place", {"type": "object"})
    wanted = request(output=output, dialect=FULL)
    modes = {}
    for vendor in VENDORS:
        fitted = requests.fit(wanted, Hop(vendor, "m"), dialect=FULL, headers={}, earlier_runs=0)
        assert fitted.silence_seconds == 120
        modes[vendor] = fitted.schema_mode
    assert modes.pop("ollama") is SchemaMode.PROMPT
    assert set(modes.values()) == {SchemaMode.FUNCTION}
