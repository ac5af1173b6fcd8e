"""The bodies of requests. Every field is checked, and unknown fields are refused.

A field whose feature does not exist yet is unknown, so that no caller takes it for a working one. Changes within /v1
only add fields.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.domain.characters import has_visible_text
from app.domain.scaling import ScalingDecision
from app.domain.task import AGENT_TASK, LONGEST_TTL_SECONDS, TASK_TEXT_LIMIT, Budget, Source, TaskRequest

METADATA_ENTRIES = 32
LOOKUP_ITEMS = 500
IDEMPOTENCY_KEY = r"^[\x21-\x7e]{1,255}$"
MICRO = 1_000_000
_ID_PREFIX = re.compile(r"[0-9a-fA-F-]{4,36}")
_AGENT_NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_EXAMPLE_TASK = "Write a short article about tides, with sources."


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    return text


def _not_blank(text: str) -> str:
    if not has_visible_text(text):
        raise ValueError("must not be blank")
    return text


def _canonical_uuid(value: object) -> object:
    """Converts a UUID to its canonical form, because ids are compared as text."""
    if not isinstance(value, str):
        raise ValueError("must be a UUID, as text")
    try:
        return str(UUID(value))
    except ValueError as error:
        raise ValueError("must be a UUID") from error


def _id_prefix(text: str) -> str:
    if not _ID_PREFIX.fullmatch(text):
        raise ValueError("must be the first 4 to 36 characters of an id")
    return text.lower()


def _agent_name(text: str) -> str:
    if not _AGENT_NAME.fullmatch(text):
        raise ValueError("must be the name of an agent, such as CodeAgent; GET /v1/agents lists them")
    return text


def _text_only(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a time as text, with its offset from UTC")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be within the years 1 to 9999 in UTC") from error


PlainText = Annotated[str, AfterValidator(_without_nul)]
UuidText = Annotated[str, BeforeValidator(_canonical_uuid), Field(json_schema_extra={"format": "uuid"})]
IdPrefix = Annotated[str, AfterValidator(_id_prefix), Field(json_schema_extra={"pattern": f"^{_ID_PREFIX.pattern}$"})]
AgentName = Annotated[
    str, AfterValidator(_agent_name), Field(json_schema_extra={"pattern": f"^{_AGENT_NAME.pattern}$"})
]
UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
TimeText = Annotated[UtcTime, BeforeValidator(_text_only)]
MetadataKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:/-]{1,64}$")]
ClusterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
IdempotencyKey = Annotated[str, StringConstraints(pattern=IDEMPOTENCY_KEY)]
MetadataValue = Annotated[str, StringConstraints(max_length=1024), AfterValidator(_without_nul)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Body(BaseModel):
    """The base of bodies. Their schema names no defaults: generators of clients make such a field a required one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        for field in handler.resolve_ref_schema(described)["properties"].values():
            field.pop("default", None)
        return described


class BudgetBody(Body):
    """The limits of the task over all its attempts together."""

    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000_000, description="Most tokens, in and out.")
    max_cost_usd: Decimal | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        max_digits=13,
        decimal_places=6,
        strict=False,  # parsed JSON has a float here, which strict mode would refuse
        description="Most money, in USD, to the millionth.",
        examples=[0.25],
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.max_tokens is None and self.max_cost_usd is None:
            raise ValueError("must name max_tokens, max_cost_usd or both")
        return self

    def to_budget(self) -> Budget:
        cost = None if self.max_cost_usd is None else int(self.max_cost_usd * MICRO)
        return Budget(max_tokens=self.max_tokens, max_cost_microusd=cost)


class SourceBody(Body):
    """The AgentTask that the task is for."""

    cluster: ClusterName
    namespace: ObjectName
    name: ObjectName
    uid: UuidText
    namespace_uid: UuidText | None = Field(default=None, description="uid of the namespace, which no other one has.")
    shift: UuidText | None = Field(default=None, description="Shift of the operator that submits the task.")

    def to_source(self) -> Source:
        return Source(kind=AGENT_TASK, **dict(self))


class ExecuteBody(Body):
    """A task in plain language, with the limits and wishes for its run."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"task": _EXAMPLE_TASK},
                {"task": "Refactor it.", "session_id": "7f1c1c0e-3d5b-4f8e-9a39-0f1f5d7a2b11", "agent": "CodeAgent"},
            ]
        }
    )

    task: Annotated[PlainText, AfterValidator(_not_blank)] = Field(
        min_length=1, max_length=TASK_TEXT_LIMIT, description="What is to be done.", examples=[_EXAMPLE_TASK]
    )
    session_id: UuidText | None = Field(
        default=None, description="Continues a conversation; left out, a new one begins."
    )
    agent: AgentName | None = Field(
        default=None, description="Name of the agent that shall answer; left out, the router chooses."
    )
    priority: int = Field(default=0, ge=0, le=9, description="9 is first; left out, 0.")
    run_at: TimeText | None = Field(
        default=None,
        strict=False,
        description="Not before this time, at most ten years from now; with its offset from UTC.",
    )
    deadline_seconds: int | None = Field(
        default=None, ge=1, le=86_400, description="Most processing time over all attempts, capped by the installation."
    )
    ttl_seconds: int | None = Field(
        default=None,
        ge=1,
        le=LONGEST_TTL_SECONDS,
        description="Removes the task so long after its end, which the installation limits; left out, it decides.",
    )
    max_attempts: int | None = Field(
        default=None, ge=1, le=100, description="Crashes, and separately retries, after which the task fails."
    )
    budget: BudgetBody | None = Field(default=None, description="Stops the task before it costs more.")
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict, max_length=METADATA_ENTRIES, description="Yours to keep with the task; never interpreted."
    )
    source: SourceBody | None = Field(
        default=None, description="Role service or admin: the AgentTask in Kubernetes that this task is for."
    )

    def to_request(self) -> TaskRequest:
        """Copies the request's fields by name. The budget changes its unit; `source` belongs to the task's origin."""
        fields = {name: getattr(self, name) for name in TaskRequest.model_fields}
        fields["budget"] = None if self.budget is None else self.budget.to_budget()
        return TaskRequest(**fields)


class ClusterBody(Body):
    """The tasks that the AgentTasks of a cluster made."""

    cluster: ClusterName


class LookupBody(Body):
    """The tasks to read: by their ids, by the idempotency keys that made them, or by their source."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["0b6a3f52-4f0d-4a52-8a13-0e5a2b0a9f10"]}]})

    ids: list[UuidText] | None = Field(default=None, min_length=1, max_length=LOOKUP_ITEMS)
    idempotency_keys: list[IdempotencyKey] | None = Field(default=None, min_length=1, max_length=LOOKUP_ITEMS)
    source: ClusterBody | None = Field(default=None, description="Those that have not ended.")
    cursor: str | None = Field(
        default=None, min_length=1, max_length=256, description="With `source`: `next_cursor` of a page."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(name is not None for name in (self.ids, self.idempotency_keys, self.source)) != 1:
            raise ValueError("must name ids, idempotency_keys or source, one of them")
        if self.cursor is not None and self.source is None:
            raise ValueError("has a cursor only with source")
        return self


class DrainBody(Body):
    """The time for which the worker takes no tasks."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 60}]})

    seconds: Annotated[int, Field(ge=1, le=3600, strict=True)]


class IntakeBody(Body):
    """The intake switch. Callers whose task is refused get the reason."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accepting": False, "reason": "provider incident"}]})

    accepting: bool
    reason: Annotated[PlainText, StringConstraints(max_length=500, strip_whitespace=True)] = ""


class ScalingInputsBody(Body):
    """The figures of the queue and the models that the decision was made from."""

    backlog: Count
    in_flight: Count
    oldest_age_seconds: Seconds
    arrival_rate: Seconds
    mean_service_seconds: Seconds
    rate_limited_share: Share
    open_breakers: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=100)
    age_seconds: Seconds
    held_back: Count = 0


class ScalingDecisionBody(Body):
    """One decision. `desired` and `inputs` are null if there were no figures."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "at": "2026-01-01T12:00:00Z", "deployment": "agents/worker", "replicas": 2, "draining": 0,
                    "slots_per_pod": 64, "staying": 3, "desired": 3, "reason": "backlog",
                    "explanation": "3 workers instead of 2: 180 wait and 128 are in flight.",
                    # Not null: FastAPI leaves nulls out of examples, and the field is required.
                    "inputs": {
                        "backlog": 180, "in_flight": 128, "oldest_age_seconds": 4.5, "arrival_rate": 3.0,
                        "mean_service_seconds": 2.5, "rate_limited_share": 0.0, "age_seconds": 0.4,
                    },
                }
            ]
        }
    )  # fmt: skip

    at: UtcTime = Field(strict=False)
    deployment: Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,253}/[a-z0-9.-]{1,253}$")]
    replicas: Count
    draining: Count
    slots_per_pod: Count
    staying: Count
    desired: Count | None
    reason: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
    explanation: Annotated[str, Field(min_length=1, max_length=2_000)]
    inputs: ScalingInputsBody | None

    def to_decision(self) -> ScalingDecision:
        return ScalingDecision.model_validate(self.model_dump())
