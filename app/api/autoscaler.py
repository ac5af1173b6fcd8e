"""What the autoscaler decided and why: written by it, read by people."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import AwareDatetime, ConfigDict, Field

from app.api.bodies import Body
from app.api.dependencies import CurrentCaller, State
from app.api.problems import problems
from app.api.views.parts import Answer
from app.api.views.rendering import json_answer
from app.domain.scaling import ScalingDecision

Count = Annotated[int, Field(ge=0, le=10_000_000)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1, max_length=2_000)]

router = APIRouter(tags=["system"])


class ScalingInputsBody(Body):
    """What was known of the queue and the models."""

    backlog: Count
    in_flight: Count
    oldest_age_seconds: Seconds
    arrival_rate: Seconds
    mean_service_seconds: Seconds
    rate_limited_share: Share
    open_breakers: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=100)
    age_seconds: Seconds


class ScalingDecisionBody(Body):
    """One decision. `desired` and `inputs` are null where there were no figures."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "at": "2026-01-01T12:00:00Z", "deployment": "agents/worker", "replicas": 2, "draining": 0,
                    "slots_per_pod": 64, "staying": 3, "desired": 3, "reason": "backlog",
                    "explanation": "3 workers instead of 2: 180 wait and 128 are in flight.", "inputs": None,
                }
            ]
        }
    )  # fmt: skip

    at: Annotated[AwareDatetime, Field(strict=False)]
    deployment: Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,253}/[a-z0-9.-]{1,253}$")]
    replicas: Count
    draining: Count
    slots_per_pod: Count
    staying: Count
    desired: Count | None
    reason: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
    explanation: Text
    inputs: ScalingInputsBody | None

    def to_decision(self) -> ScalingDecision:
        return ScalingDecision.model_validate(self.model_dump())


class ScalingView(Answer):
    """The newest first."""

    decisions: list[ScalingDecision]


@router.post(
    "/v1/system/autoscaler",
    status_code=201,
    response_model=ScalingDecision,
    responses=problems(400, 413, 415, 422),
    summary="Keep a decision of the autoscaler",
)
async def add_decision(body: ScalingDecisionBody, caller: CurrentCaller, state: State) -> Response:
    """Role service or admin: the operator's. The last 200 are kept."""
    caller.require_operator()
    decision = body.to_decision()
    await state.scaling.add(decision)
    return json_answer(decision, 201)


@router.get(
    "/v1/system/autoscaler",
    response_model=ScalingView,
    responses=problems(),
    summary="Read why there are so many workers",
)
async def read_decisions(caller: CurrentCaller, state: State) -> Response:
    """Role service or admin. The last 200 decisions with their inputs, each with a sentence that explains it."""
    caller.require_operator()
    return json_answer(ScalingView(decisions=list(await state.scaling.latest())))
