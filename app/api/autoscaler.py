"""The autoscaler's decisions with their reasons: written by the operator, read by people."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from app.api.bodies import ScalingDecisionBody
from app.api.dependencies import CurrentCaller, State
from app.api.problems import problems
from app.api.views.rendering import json_answer
from app.api.views.system import ScalingDecisionView, ScalingView

router = APIRouter(tags=["system"])


@router.post(
    "/v1/system/autoscaler",
    status_code=201,
    response_model=ScalingDecisionView,
    responses=problems(400, 413, 415),
    summary="Record a decision of the autoscaler",
    operation_id="recordScalingDecision",
)
async def add_decision(body: ScalingDecisionBody, caller: CurrentCaller, state: State) -> Response:
    """Records a decision for people to read; the last 200 are kept. Role service or admin."""
    caller.require_operator()
    decision = body.to_decision()
    await state.scaling.record(decision)
    return json_answer(ScalingDecisionView.model_validate(decision), 201)


@router.get(
    "/v1/system/autoscaler",
    response_model=ScalingView,
    responses=problems(),
    summary="Read the autoscaler's decisions",
    operation_id="getScalingDecisions",
)
async def read_decisions(caller: CurrentCaller, state: State) -> Response:
    """Returns the last 200 decisions with their inputs and a sentence that explains each. Role service or admin."""
    caller.require_operator()
    return json_answer(ScalingView.model_validate({"decisions": await state.scaling.latest()}))
