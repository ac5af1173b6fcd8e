"""The dependencies of handlers: the services, as one typed state that the lifespan builds, and the caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.api.auth import Authenticator, Caller
from app.domain.identity import RequestId
from app.errors import InvalidRequest
from app.services.changes import ChangeService
from app.services.dependency_health import HealthService
from app.services.roster import AgentRoster
from app.services.scaling_decisions import ScalingDecisionService
from app.services.sessions import SessionService
from app.services.system import SystemService
from app.services.tasks import TaskService
from app.services.workers import WorkerService
from app.settings import Settings
from app.telemetry.metrics import ProcessMetrics
from app.telemetry.tracing import Tracing


@dataclass(frozen=True)
class ApiState:
    """Everything a handler may use. It is stored in `app.state.api` while the application runs."""

    settings: Settings
    tasks: TaskService
    changes: ChangeService
    sessions: SessionService
    system: SystemService
    health: HealthService
    roster: AgentRoster
    workers: WorkerService
    scaling: ScalingDecisionService
    authenticator: Authenticator
    metrics: ProcessMetrics
    tracing: Tracing


async def api_state(request: Request) -> ApiState:
    state: ApiState = request.app.state.api
    return state


async def current_caller(request: Request) -> Caller:
    """Authenticates the request. Raises Unauthenticated, Forbidden, RateLimited, StoreUnavailable."""
    state: ApiState = request.app.state.api
    return await state.authenticator.authenticate(request)


async def single_parameters(request: Request) -> None:
    """Raises InvalidRequest if a query parameter comes twice: which of them counts would be a guess."""
    names = [name for name, _ in request.query_params.multi_items()]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        fields = [(name, "must be given once") for name in repeated]
        raise InvalidRequest("A query parameter is repeated.", fields=fields)


def request_id_of(request: Request) -> RequestId:
    request_id: RequestId = request.scope["state"]["request_id"]
    return request_id


State = Annotated[ApiState, Depends(api_state)]
CurrentCaller = Annotated[Caller, Depends(current_caller)]
