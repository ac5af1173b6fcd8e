"""The adapter of every vendor that is asked through LangChain: one chat model per name, built at its first call.

LangChain only carries the request. Attempts, waits, breakers, budgets and prices are the chain's, as for any other
hop, so the integration's own retries are switched off. A schema is asked for as a function's arguments, or in words:
only these two work alike with every integration.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from pydantic import SecretStr, ValidationError

from app.errors import ConfigurationError
from app.llm.faults import FaultKind, ProviderFault
from app.llm.hop_request import LONGEST_SILENCE_SECONDS
from app.llm.langchain_vendors import VENDORS, split_model
from app.llm.providers.adapter import ProviderAnswer, ProviderRequest, require_usable
from app.llm.providers.langchain_clients import client_options
from app.llm.providers.langchain_errors import to_fault
from app.llm.providers.langchain_messages import LangChainAnswer, to_functions, to_langchain
from app.llm.providers.text_collector import TextCollector
from app.llm.providers.wire import cut_off
from app.llm.server_dialect import Feature
from app.llm.vendor_error import VendorError
from app.outbound.proxy import unusable_variables
from app.telemetry.logs import get_logger

BuildModel = Callable[..., BaseChatModel]
_log = get_logger(__name__)
_UNBUILT = "LangChain cannot build this model"
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
# Retries are the chain's. Google's clients take 0 for as many as they like, and 1 for none.
_NO_RETRIES: Mapping[str, Any] = {"max_retries": 0}
_ONE_ATTEMPT: Mapping[str, Any] = {"max_retries": 1}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "google_genai": _ONE_ATTEMPT,
    "google_vertexai": _ONE_ATTEMPT,
    # Its calls run in threads, and without a limit a silent connection would keep its thread for ever. It streams only
    # models that it knows; a model that cannot stream refuses it, and is asked for the whole answer from then on.
    "bedrock_converse": {**_NO_RETRIES, "timeout": round(LONGEST_SILENCE_SECONDS), "disable_streaming": False},
}


def build_model(model: str, **options: Any) -> BaseChatModel:
    """Builds a chat model with LangChain's own factory, and with our clients where its class takes them.

    Raises what the integration raises, and ConfigurationError for a proxy that cannot be used.
    """
    from langchain.chat_models import init_chat_model

    built: BaseChatModel = init_chat_model(model, **options, **client_options(options["model_provider"]))
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
        answer = LangChainAnswer(request)
        try:
            return require_usable(await self._ask(model, request, answer))
        except ProviderFault:
            raise
        except ImportError as error:  # some integrations build their clients at the first call
            raise _lacking(error) from None
        except Exception as error:  # noqa: BLE001  the vendors' clients have no common base class
            fault = to_fault(error, request, secrets=_secrets(model), begun=answer.begun)
            raise self._with_variables(fault) from None

    async def aclose(self) -> None:
        """Closes the clients that can be closed, also if closing one fails: LangChain has no way to close them all."""
        async with AsyncExitStack() as closing:
            for model in self._models.values():
                for close in _closers(model):
                    closing.push_async_callback(close)
            self._models.clear()

    async def _model(self, name: str) -> BaseChatModel:
        async with self._building:
            if name not in self._models:
                # In a thread, because importing an integration takes a second.
                self._models[name] = await asyncio.to_thread(self._build_model, name)
        return self._models[name]

    def _build_model(self, name: str) -> BaseChatModel:
        provider, model = split_model(self._provider, name)
        try:
            built = self._build_with(model, provider, _OPTIONS.get(provider, _NO_RETRIES))
            for client in _CLIENT_FIELDS:
                getattr(built, client, None)  # built now, because each copy of the model would build its own
        except ImportError as error:
            raise _lacking(error) from None
        except ConfigurationError as error:
            raise ProviderFault(FaultKind.WRONG_ENDPOINT, f"{_UNBUILT}: {error.message}") from None
        except Exception as error:  # noqa: BLE001  each integration has classes of its own for what it lacks
            reason = f"{_UNBUILT}: {provider} raised {type(error).__name__}"
            raise self._with_variables(ProviderFault(FaultKind.AUTH, reason)) from None
        return built

    def _build_with(self, model: str, provider: str, options: Mapping[str, Any]) -> BaseChatModel:
        """Builds the model, without those of the options that its class does not have."""
        try:
            return self._build(model, model_provider=provider, **options)
        except ValidationError as error:
            unknown = {problem["loc"][0] for problem in error.errors() if problem["type"] == "extra_forbidden"}
            known = {name: value for name, value in options.items() if name not in unknown}
            if known == options:
                raise
            return self._build(model, model_provider=provider, **known)

    def _with_variables(self, fault: ProviderFault) -> ProviderFault:
        """Names the variables of the vendor in a fault that may come from them."""
        vendor = VENDORS.get(self._provider)
        if fault.kind not in (FaultKind.AUTH, FaultKind.WRONG_ENDPOINT) or vendor is None:
            return fault
        doubt = f"(are {', '.join(vendor.variables)} right?)"
        return ProviderFault(
            fault.kind,
            f"{fault.detail} {doubt}",
            outline=f"{fault.outline} {doubt}",
            retry_after=fault.retry_after,
            refusal=fault.refusal,
        )

    async def _ask(self, model: BaseChatModel, request: ProviderRequest, answer: LangChainAnswer) -> ProviderAnswer:
        runnable = _offer_functions(_fit(model, request), request)
        options = _options(model, request)
        collector = TextCollector(request.on_text, self._monotonic)
        pieces = _stream(runnable, request, options) if request.stream else _whole(runnable, request, options)
        async with aclosing(pieces):
            while (piece := await _next(pieces, answer)) is not None:
                collector.add(answer.add(piece))
        text = collector.finish()
        if request.stream and not answer.complete and self._provider in VENDORS:
            raise cut_off(answer.tokens())  # each of these vendors gives the reason why the model stopped
        return answer.finish(text)


def _lacking(error: ImportError) -> ProviderFault:
    """Builds the fault of a package that is missing, or of a proxy for which one is missing. No key is to blame."""
    package = error.name or getattr(error.__cause__, "name", None)
    proxies = unusable_variables()
    if package is not None:
        reason = f"{package} is not installed"
    elif proxies:  # httpx raises it without a name
        reason = f"{', '.join(proxies)} is not an HTTP proxy, and no other kind is supported: unset it"
    else:
        reason = "a package that it needs is not installed"
    return ProviderFault(FaultKind.WRONG_ENDPOINT, f"{_UNBUILT}: {reason}")


async def _next(pieces: AsyncGenerator[BaseMessage], answer: LangChainAnswer) -> BaseMessage | None:
    """Returns the next piece; None if there is none."""
    try:
        return await anext(pieces, None)
    except Exception as error:
        if not answer.complete:
            raise
        # Only the end of the stream is missing or broken: the answer is whole, and was paid for.
        _log.debug("stream_without_end", error_class=type(error).__name__)
        return None


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
    wanted["stream_chunk_timeout"] = None  # of OpenAI's integration, shorter than our patience may be
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


def _closers(model: BaseChatModel) -> Sequence[Callable[[], Awaitable[None]]]:
    own = getattr(model, "aclose", None)
    if own is not None:
        return [own]
    clients = [getattr(model, name, None) for name in _CLIENT_FIELDS]
    return [client.close for client in clients if client is not None]


def _secrets(model: BaseChatModel) -> Sequence[str]:
    """Collects the keys that the model was built with: an error may repeat them."""
    values = (getattr(model, name, None) for name in type(model).model_fields)
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr) and value.get_secret_value()]
