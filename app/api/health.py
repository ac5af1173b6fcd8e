"""Probes for machines: liveness, readiness and metrics, without a key and without a rate limit."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.api.dependencies import State
from app.api.problems import RETRY_AFTER
from app.api.views.rendering import json_answer
from app.api.views.system import HealthView, ReadinessView, dependency_views
from app.services.dependency_health import HealthStatus

RETRY_AFTER_SECONDS = 5
# Rendered once: probes come every few seconds, and the answer never changes.
_ALIVE = HealthView().model_dump_json().encode()

router = APIRouter(tags=["health"])


@router.get("/health", response_model=HealthView, summary="Alive", operation_id="getHealth")
async def health() -> Response:
    """Answers as long as the process runs; checks nothing else."""
    return Response(_ALIVE, media_type="application/json")


@router.get(
    "/ready",
    response_model=ReadinessView,
    responses={503: {"model": ReadinessView, "description": "MongoDB does not answer.", "headers": RETRY_AFTER}},
    summary="Ready",
    operation_id="getReady",
)
async def ready(state: State) -> Response:
    """Requires MongoDB. Without Redis the API stays ready: tasks are accepted and read, and wait to be run."""
    servers = await state.health.servers()
    dependencies = dependency_views(servers.items())
    if servers["mongodb"].status is not HealthStatus.UP:
        view = ReadinessView(status="not_ready", dependencies=dependencies)
        return json_answer(view, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    degraded = servers["redis"].status is not HealthStatus.UP
    return json_answer(ReadinessView(status="degraded" if degraded else "ready", dependencies=dependencies))


@router.get("/metrics", response_class=Response, summary="Prometheus metrics", operation_id="getProcessMetrics")
async def metrics(request: Request, state: State) -> Response:
    """Returns this process's metrics, in the format that the Accept header prefers."""
    body, content_type = state.metrics.exposition(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})
