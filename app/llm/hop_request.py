"""The request of a plan, made to fit one hop: its model and dialect, its patience, its effort and its limits."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from app.llm.chains import Hop
from app.llm.interface import ChatMessage
from app.llm.langchain_vendors import dialect_of, is_langchain
from app.llm.provider_table import Provider
from app.llm.providers.adapter import ProviderRequest, SchemaMode, ask_for_a_call
from app.llm.server_dialect import Dialect, Feature
from app.settings import LLMSettings

_MODE_OF = {Feature.JSON_SCHEMA: SchemaMode.NATIVE, Feature.FUNCTION: SchemaMode.FUNCTION}
_IN_WORDS = (
    "Answer with one JSON object that fits this JSON schema. Write nothing before it, nothing after it, and no code "
    "fence:\n{schema}"
)
LONGEST_SILENCE_SECONDS = 900.0
# Beyond this a later attempt waits no longer than the one before: 2⁴ times as long as the first.
_MOST_DOUBLINGS = 4


class HopRequests:
    """Fits requests to hops. `elsewhere` names the providers that are asked at an address that is not their own."""

    def __init__(self, settings: LLMSettings, *, elsewhere: Collection[Provider]) -> None:
        self._settings = settings
        self._elsewhere = frozenset(elsewhere)

    def fit(
        self, request: ProviderRequest, hop: Hop, *, dialect: Dialect, headers: Mapping[str, str], earlier_runs: int
    ) -> ProviderRequest:
        """Returns the request for this hop; `earlier_runs` is how often the task was tried before."""
        thinks = self.thinks(hop)
        at_vendor = hop.provider not in self._elsewhere and not is_langchain(hop.provider)
        if is_langchain(hop.provider):
            dialect = dialect.joined(dialect_of(hop.provider))
        mode = _usable_mode(request, dialect)
        forces = request.must_call_tool and dialect.has(Feature.TOOL_CHOICE)
        return replace(
            request,
            model=hop.model,
            headers=headers,
            dialect=dialect,
            schema_mode=mode,
            messages=_in_dialect(request.messages, dialect, _words(request, mode, forces=forces)),
            must_call_tool=forces,
            max_tokens=self._limit(request, dialect, thinks=thinks),
            stream=request.stream and dialect.has(Feature.STREAMING),
            thinks=thinks,
            effort=request.effort if thinks and dialect.has(Feature.EFFORT) else "",
            # The vendors ask for it. Other servers refuse fields that they do not know.
            end_user=request.end_user if at_vendor and dialect.has(Feature.END_USER) else "",
            at_vendor=at_vendor,
            silence_seconds=self.patience(hop, thinks=thinks, earlier_runs=earlier_runs),
        )

    def thinks(self, hop: Hop) -> bool:
        """Checks whether the model thinks before it answers."""
        names = (hop.model, hop.model.rpartition("/")[2])
        return any(fnmatchcase(name, pattern) for name in names for pattern in self._settings.thinking_models)

    def _limit(self, request: ProviderRequest, dialect: Dialect, *, thinks: bool) -> int:
        # Vendors count thinking as output, so it has an allowance beside that of the answer.
        limit = request.max_tokens + (self._settings.thinking_tokens if thinks else 0)
        return limit if dialect.max_output_tokens is None else min(limit, dialect.max_output_tokens)

    def patience(self, hop: Hop, *, thinks: bool, earlier_runs: int = 0) -> float:
        """Computes the longest silence in seconds. In each later run of a task a slow model gets twice as long."""
        settings = self._settings
        patient = thinks or hop.provider in self._elsewhere or is_langchain(hop.provider)
        first = settings.silence_seconds if patient else settings.timeout_seconds
        most = LONGEST_SILENCE_SECONDS if patient else max(settings.silence_seconds, first)
        return float(min(first * 2 ** min(earlier_runs, _MOST_DOUBLINGS), most))


def _usable_mode(request: ProviderRequest, dialect: Dialect) -> SchemaMode:
    mode = request.schema_mode
    for feature, its_mode in _MODE_OF.items():
        if mode is its_mode and not dialect.has(feature):
            mode = SchemaMode(mode + 1)
    return mode


def _words(request: ProviderRequest, mode: SchemaMode, *, forces: bool) -> str:
    """Words that part of the request which the server does not take otherwise; empty if there is none."""
    if request.output is not None and mode is SchemaMode.PROMPT:
        return _IN_WORDS.format(schema=json.dumps(request.output.schema, ensure_ascii=False))
    return ask_for_a_call(request.tools) if request.must_call_tool and not forces else ""


def _in_dialect(messages: Sequence[ChatMessage], dialect: Dialect, in_words: str) -> Sequence[ChatMessage]:
    if in_words:
        messages = _system_first((*messages, ChatMessage("system", in_words)))
    return messages if dialect.has(Feature.SYSTEM_ROLE) else _without_system(messages)


def _system_first(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    """Joins all system messages to one at the beginning, the only place where every server accepts it."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    return (ChatMessage("system", system), *(message for message in messages if message.role != "system"))


def _without_system(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    """Puts the system's text before the first message of the user."""
    if all(message.role != "system" for message in messages):
        return messages
    system, *others = _system_first(messages)
    at = next((at for at, message in enumerate(others) if message.role == "user"), None)
    if at is None:
        return (ChatMessage("user", system.content), *others)
    joined = replace(others[at], content=f"{system.content}\n\n{others[at].content}")
    return (*others[:at], joined, *others[at + 1 :])
