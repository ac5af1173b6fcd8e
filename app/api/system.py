"""The system: its figures, the intake switch, and the drains of workers."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from app.api.bodies import DrainBody, IntakeBody
from app.api.dependencies import CurrentCaller, State
from app.api.problems import problems
from app.api.views.rendering import json_answer
from app.api.views.system import DrainView, IntakeView, MetricsView, metrics_view
from app.domain.intake import Intake
from app.telemetry.logs import get_logger

router = APIRouter(tags=["system"])

_log = get_logger(__name__)


@router.get(
    "/v1/system/metrics",
    response_model=MetricsView,
    responses=problems(),
    summary="Read the figures",
    operation_id="getMetrics",
)
async def read_metrics(caller: CurrentCaller, state: State) -> Response:
    """Returns queue, today's counts, workers and dependencies. A client sees its own tenant's counts."""
    return json_answer(metrics_view(await state.system.metrics(caller.statistics_of)))


@router.post(
    "/v1/system/intake",
    response_model=IntakeView,
    responses=problems(400, 413, 415),
    summary="Pause or resume the intake",
    operation_id="setIntake",
)
async def set_intake(body: IntakeBody, caller: CurrentCaller, state: State) -> Response:
    """Sets the intake switch. While it is off, new tasks get 503 with the reason; others go on. Role admin."""
    caller.require_admin()
    intake = await state.system.set_intake(Intake(accepting=body.accepting, reason=body.reason))
    _log.warning("intake_switched", accepting=intake.accepting, key_id=caller.key_id)
    return json_answer(IntakeView.model_validate(intake))


@router.post(
    "/v1/system/workers/{worker_id}/drain",
    status_code=202,
    response_model=DrainView,
    responses=problems(400, 404, 413, 415),
    summary="Drain a worker for a while",
    operation_id="drainWorker",
)
async def drain_worker(worker_id: str, body: DrainBody, caller: CurrentCaller, state: State) -> Response:
    """Keeps a worker from taking tasks for a while. Role service or admin.

    The worker hands back the tasks it has not begun; its running tasks go on. It is drained when `/v1/system/metrics`
    shows it as draining with no running task. Repeat the call before the time is over to extend the drain; after it the
    worker takes tasks again.
    """
    caller.require_operator()
    await state.workers.drain(worker_id, seconds=body.seconds)
    _log.warning("worker_drained", worker_id=worker_id, seconds=body.seconds, key_id=caller.key_id)
    return json_answer(DrainView(worker_id=worker_id, seconds=body.seconds), 202)


@router.delete(
    "/v1/system/workers/{worker_id}/drain",
    response_model=DrainView,
    responses=problems(404),
    summary="Let a drained worker work again",
    operation_id="undrainWorker",
)
async def undrain_worker(worker_id: str, caller: CurrentCaller, state: State) -> Response:
    """Ends the drain at once. Safe to repeat. Role service or admin."""
    caller.require_operator()
    await state.workers.undrain(worker_id)
    _log.warning("worker_undrained", worker_id=worker_id, key_id=caller.key_id)
    return json_answer(DrainView(worker_id=worker_id, seconds=0))
