"""Scripted faults, by model and number of calls.

The model's name, the header `X-Simulator-Fault`, or at run time `POST /simulator/faults` asks for a fault. In a model's
name it follows `sim-`, which may itself follow a provider's prefix: `sim-down`, `gpt-sim-429-once`,
`claude-sim-slow-200`. `+` joins several faults: `sim-slow-200+broken-json`. A fault that ends in `-once` hits only the
first call of each task (without a task id the first call of all).

    down 503 · error 500 · overloaded 529 · 429 (Retry-After 1) · 429-long (Retry-After 120) · quota 429
    401 · 403 · 404 model not found · bad-request 400 · policy 400 · context-overflow 400
    hang            takes the request and never answers
    stall           begins the answer and never goes on
    reset           closes the connection in the middle of the answer
    slow-<ms>       waits before it answers           drip-<ms>       waits between two chunks of a stream
    broken-json     cuts structured output in the middle            wrong-schema    other fields than the schema's
    unknown-agent   names an agent not offered                      unsure          low confidence
    empty           no text at all     refusal   refuses            length          stops at half, for length
    verbose         free text of four megabytes, whatever the limit; verbose-<characters> of another length
    tool-loop       calls a tool on every turn                      bad-tool        calls a tool not offered
    obey-injection  does what untrusted text in its input demands
    injection       (search only) returns pages that try to take the agent over

A model whose name holds no known fault answers normally.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Effect(StrEnum):
    """Faults of the answer itself; the request succeeds."""

    BROKEN_JSON = "broken-json"
    WRONG_SCHEMA = "wrong-schema"
    UNKNOWN_AGENT = "unknown-agent"
    UNSURE = "unsure"
    EMPTY = "empty"
    REFUSAL = "refusal"
    LENGTH = "length"
    VERBOSE = "verbose"
    TOOL_LOOP = "tool-loop"
    BAD_TOOL = "bad-tool"
    OBEY_INJECTION = "obey-injection"
    INJECTION = "injection"


@dataclass(frozen=True)
class Failure:
    """An error response, before a provider's dialect words it."""

    status: int
    code: str
    message: str
    retry_after: int | None = None


FAILURES: Mapping[str, Failure] = {
    "down": Failure(503, "server_error", "The server is overloaded or not ready yet."),
    "error": Failure(500, "server_error", "The server had an error while processing your request."),
    "overloaded": Failure(529, "overloaded_error", "Overloaded."),
    "429": Failure(429, "rate_limit_exceeded", "Rate limit reached for requests.", retry_after=1),
    "429-long": Failure(429, "rate_limit_exceeded", "Rate limit reached for requests.", retry_after=120),
    "quota": Failure(429, "insufficient_quota", "You exceeded your current quota, check your plan and billing."),
    "401": Failure(401, "invalid_api_key", "Incorrect API key provided."),
    "403": Failure(403, "permission_denied", "Your project has no access to this model."),
    "404": Failure(404, "model_not_found", "The model does not exist or you do not have access to it."),
    "bad-request": Failure(400, "invalid_request", "The request is not valid."),
    "policy": Failure(400, "content_filter", "The prompt was refused by the content policy."),
    "context-overflow": Failure(
        400, "context_length_exceeded", "This model's maximum context length is 8192 tokens: prompt is too long."
    ),
}
TRANSPORT = frozenset({"hang", "stall", "reset"})
EFFECTS = frozenset(effect.value for effect in Effect)
NAMES = frozenset(FAILURES) | TRANSPORT | EFFECTS
VERBOSE_CHARACTERS = 4_000_000  # about the 4 MiB that the product stores of a result
_NUMBERED = re.compile(r"(slow|drip|verbose)-(\d{1,7})")
_IN_MODEL = re.compile(r"(?:^|[-/])sim-(.+)$")
_ONCE = "-once"


@dataclass(frozen=True)
class FaultPlan:
    """All faults of one call. `name` is their name in the ledger, empty for a call without a fault."""

    name: str = ""
    failure: Failure | None = None
    transport: str | None = None
    effects: frozenset[Effect] = frozenset()
    latency_ms: int = 0
    drip_ms: int = 0
    verbose_characters: int = VERBOSE_CHARACTERS


NO_FAULT = FaultPlan()


@dataclass
class FaultRule:
    """A fault switched on at run time. None matches every model or provider; `times` None holds until cleared.

    With a `text` it hits the requests whose bodies hold that text.
    """

    fault: str
    model: str | None = None
    provider: str | None = None
    times: int | None = None
    text: str | None = None

    def matches(self, provider: str, model: str, body: bytes) -> bool:
        named = self.model in (None, model) and self.provider in (None, provider)
        return self.times != 0 and named and (self.text is None or self.text.encode() in body)


def is_known(fault: str) -> bool:
    parts = [part.removesuffix(_ONCE) for part in fault.split("+")]
    return all(part in NAMES or _NUMBERED.fullmatch(part) for part in parts)


def build_plan(parts: list[str]) -> FaultPlan:
    """Builds one plan from the names of known faults."""
    numbers = [(numbered[1], int(numbered[2])) for numbered in map(_NUMBERED.fullmatch, parts) if numbered]
    latency_ms, drip_ms = (sum(number for kind, number in numbers if kind == delay) for delay in ("slow", "drip"))
    lengths = [number for kind, number in numbers if kind == Effect.VERBOSE]
    effects = {Effect(part) for part in parts if part in EFFECTS} | ({Effect.VERBOSE} if lengths else set())
    return FaultPlan(
        name="+".join(parts),
        # One response has one error and breaks in one way: the first named wins. Delays add up, effects combine.
        failure=next((FAILURES[part] for part in parts if part in FAILURES), None),
        transport=next((part for part in parts if part in TRANSPORT), None),
        effects=frozenset(effects),
        latency_ms=latency_ms,
        drip_ms=drip_ms,
        verbose_characters=max(lengths, default=VERBOSE_CHARACTERS),
    )


@dataclass
class ScriptedFaults:
    """The faults of this server: the rules of run time, and the `-once` faults that have struck already."""

    rules: list[FaultRule] = field(default_factory=list)
    _struck: set[tuple[str, str, str]] = field(default_factory=set)

    def plan(self, *, provider: str, model: str, header: str, task_id: str, body: bytes = b"") -> FaultPlan:
        named = _IN_MODEL.search(model)
        if not (named or header or self.rules):
            return NO_FAULT  # the usual case first: benchmarks share the CPU with this server
        wanted = [fault for fault in (header, named[1] if named else "") if fault and is_known(fault)]
        for rule in self.rules:
            if rule.matches(provider, model, body):
                rule.times = None if rule.times is None else rule.times - 1
                wanted.append(rule.fault)
        # `-once` applies to each part of a joined fault by itself.
        parts = [part for fault in wanted for part in fault.split("+")]
        striking = [part.removesuffix(_ONCE) for part in parts if self._strikes(part, model, task_id)]
        return build_plan(striking) if striking else NO_FAULT

    def clear(self) -> None:
        self.rules.clear()
        self._struck.clear()

    def _strikes(self, part: str, model: str, task_id: str) -> bool:
        if not part.endswith(_ONCE):
            return True
        key = (part, model, task_id)
        if key in self._struck:
            return False
        self._struck.add(key)
        return True
