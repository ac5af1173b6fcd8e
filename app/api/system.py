"""The system's figures, and the switch that pauses the intake."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from app.api.answers import json_answer
from app.api.dependencies import CurrentCaller, State
from app.api.errors import problems
from app.api.schemas import IntakeBody
from app.api.system_views import IntakeView, MetricsView, metrics_view
from app.ports import Intake
from app.telemetry.logs import get_logger

router = APIRouter(tags=["system"])

_log = get_logger(__name__)


@router.get("/v1/system/metrics", response_model=MetricsView, responses=problems(), summary="Read the figures")
async def read_metrics(caller: CurrentCaller, state: State) -> Response:
    """Queue, today's counts, workers and dependencies. A client sees its own tenant's counts."""
    return json_answer(metrics_view(await state.system.metrics(caller.statistics_of)))


@router.post(
    "/v1/system/intake",
    response_model=IntakeView,
    responses=problems(400, 413, 415, 422),
    summary="Pause or resume the intake",
)
async def set_intake(body: IntakeBody, caller: CurrentCaller, state: State) -> Response:
    """Role admin. While paused, new tasks get 503 with the reason; queued and running ones go on."""
    caller.require_admin()
    intake = await state.system.set_intake(Intake(accepting=body.accepting, reason=body.reason))
    _log.warning("intake_switched", accepting=intake.accepting, key_id=caller.key_id)
    return json_answer(IntakeView.model_validate(intake))
