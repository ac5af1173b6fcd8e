"""The adapter of every vendor that is asked through LangChain: one chat model per name, built at its first call.

LangChain only carries the request. Attempts, waits, breakers, budgets and prices are the chain's, as for any other
hop, so the integration's own retries are switched off. A schema is asked for as a function's arguments, or in words:
only these two work alike with every integration.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from pydantic import SecretStr, ValidationError

from app.llm.faults import FaultKind, ProviderFault
from app.llm.langchain_vendors import VENDORS, split_model
from app.llm.providers.adapter import ProviderAnswer, ProviderRequest, require_usable
from app.llm.providers.langchain_errors import to_fault
from app.llm.providers.langchain_messages import LangChainAnswer, to_functions, to_langchain
from app.llm.providers.sse import TextCollector
from app.llm.server_dialect import Feature
from app.llm.vendor_error import VendorError

BuildModel = Callable[..., BaseChatModel]
# Integrations name the limit of an answer differently, and some have no such field.
_LIMIT_FIELDS = ("max_tokens", "max_output_tokens", "num_predict")
# An integration may translate more, but only these are its caller's words.
_FEATURES = frozenset(
    {
        Feature.STREAMING,
        Feature.STREAM_OPTIONS,
        Feature.SYSTEM_ROLE,
        Feature.FUNCTION,
        Feature.TOOL_CHOICE,
        Feature.EFFORT,
    }
)
# The asynchronous clients, as the integrations of OpenAI, Azure and Anthropic name them.
_CLIENT_FIELDS = ("root_async_client", "_async_client")
# For these, 0 retries means as many as the client likes, and 1 attempt means none.
_COUNT_ATTEMPTS = frozenset({"google_genai", "google_vertexai"})


def build_model(model: str, **options: Any) -> BaseChatModel:
    """Builds a chat model with LangChain's own factory. Raises what the integration raises."""
    from langchain.chat_models import init_chat_model

    built: BaseChatModel = init_chat_model(model, **options)
    return built


class LangChainAdapter:
    """One vendor, or any (`langchain:`). Implements `ProviderAdapter`. Belongs to one event loop."""

    def __init__(
        self, provider: str, *, build: BuildModel = build_model, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._provider = provider
        self._build = build
        self._monotonic = monotonic
        self._models: dict[str, BaseChatModel] = {}
        self._building = asyncio.Lock()

    def features(self, model: str) -> frozenset[Feature]:  # noqa: ARG002 the protocol's
        return _FEATURES

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        model = await self._model(request.model)
        try:
            return require_usable(await self._ask(model, request))
        except ProviderFault:
            raise
        except Exception as error:  # noqa: BLE001  the vendors' clients have no common base class
            raise to_fault(error, request, secrets=_secrets(model)) from None

    async def aclose(self) -> None:
        """Closes the clients that can be closed: LangChain has no way to do it for all of its integrations."""
        for model in self._models.values():
            for name in _CLIENT_FIELDS:
                close = getattr(getattr(model, name, None), "close", None)
                if close is not None:
                    await close()
        self._models.clear()

    async def _model(self, name: str) -> BaseChatModel:
        async with self._building:
            if name not in self._models:
                # In a thread, because importing an integration takes a second.
                self._models[name] = await asyncio.to_thread(self._build_model, name)
        return self._models[name]

    def _build_model(self, name: str) -> BaseChatModel:
        provider, model = split_model(self._provider, name)
        no_retries = 1 if provider in _COUNT_ATTEMPTS else 0
        try:
            try:
                return self._build(model, model_provider=provider, max_retries=no_retries)
            except ValidationError as error:
                if not any("max_retries" in problem["loc"] for problem in error.errors()):
                    raise
                return self._build(model, model_provider=provider)
        except ImportError as error:
            raise self._unusable(f"{error.name or 'a package'} is not installed") from None
        except Exception as error:  # noqa: BLE001  each integration has classes of its own for what it lacks
            raise self._unusable(type(error).__name__) from None

    def _unusable(self, reason: str) -> ProviderFault:
        vendor = VENDORS.get(self._provider)
        needs = f" (are {', '.join(vendor.variables)} set?)" if vendor is not None else ""
        return ProviderFault(FaultKind.AUTH, f"LangChain cannot build this model: {reason}{needs}")

    async def _ask(self, model: BaseChatModel, request: ProviderRequest) -> ProviderAnswer:
        runnable = _offer_functions(_fit(model, request), request)
        options = _options(model, request)
        answer = LangChainAnswer(request)
        collector = TextCollector(request.on_text, self._monotonic)
        pieces = _stream(runnable, request, options) if request.stream else _whole(runnable, request, options)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    collector.add(answer.add(piece))
        except Exception:
            # Only the end of the stream is missing or broken: the answer is whole, and was paid for.
            if not answer.complete:
                raise
        return answer.finish(collector.finish())


async def _stream(
    runnable: Runnable[Any, BaseMessage], request: ProviderRequest, options: Mapping[str, Any]
) -> AsyncGenerator[BaseMessage]:
    """Passes the pieces of a streamed answer on. Raises ProviderFault if the model is silent for too long."""
    pieces = aiter(runnable.astream(to_langchain(request.messages), **options))
    try:
        while True:
            async with _patience(request.silence_seconds):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


async def _whole(
    runnable: Runnable[Any, BaseMessage], request: ProviderRequest, options: Mapping[str, Any]
) -> AsyncGenerator[BaseMessage]:
    async with _patience(request.silence_seconds):
        message = await runnable.ainvoke(to_langchain(request.messages), **options)
    yield message


@asynccontextmanager
async def _patience(silence_seconds: float) -> AsyncIterator[None]:
    """Limits one wait. The integrations have limits of their own, and each counts another time."""
    try:
        async with asyncio.timeout(silence_seconds):
            yield
    except TimeoutError as error:
        raise ProviderFault(FaultKind.TIMEOUT, type(error).__name__, maybe_billed=True) from None


def _fit(model: BaseChatModel, request: ProviderRequest) -> BaseChatModel:
    """Copies the model with the limits of this request, in the fields that its class has. The clients are shared."""
    fields = type(model).model_fields
    wanted: dict[str, Any] = dict.fromkeys(_LIMIT_FIELDS, request.max_tokens)
    wanted["stream_usage"] = request.dialect.has(Feature.STREAM_OPTIONS)
    if request.effort:
        wanted["reasoning_effort"] = request.effort
    return model.model_copy(update={name: value for name, value in wanted.items() if name in fields})


def _offer_functions(model: BaseChatModel, request: ProviderRequest) -> Runnable[Any, Any]:
    functions = to_functions(request)
    if not functions:
        return model
    must_call = request.must_call_tool and request.dialect.has(Feature.TOOL_CHOICE)
    try:
        if must_call or request.output is not None:
            return model.bind_tools(functions, tool_choice="any")
        return model.bind_tools(functions)
    except (NotImplementedError, TypeError, ValueError) as error:
        # The model cannot be forced to call a function, or cannot call any: the next way is to ask in words.
        told = VendorError(status=501, param="tool_choice", message=type(error).__name__)
        raise ProviderFault(FaultKind.BAD_REQUEST, "tool_choice", refusal=told) from None


def _options(model: BaseChatModel, request: ProviderRequest) -> Mapping[str, Any]:
    """Builds the options of the call: the headers of correlation, for clients that take headers."""
    takes_headers = "default_headers" in type(model).model_fields
    return {"extra_headers": dict(request.headers)} if takes_headers and request.headers else {}


def _secrets(model: BaseChatModel) -> Sequence[str]:
    """Collects the keys that the model was built with: an error may repeat them."""
    values = (getattr(model, name, None) for name in type(model).model_fields)
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr) and value.get_secret_value()]
