"""The seams between the services and the world, as Protocols: stores, the broker, the clock.

`app.storage` and `app.broker` implement them; the composition roots choose. Every repository call that touches a
tenant's data takes the tenant and filters on it. Methods raise `StoreUnavailable` or `BrokerUnavailable` when their
server does not answer, and the errors that their docstrings name; nothing else.
"""

from __future__ import annotations

from app.ports.changes import ChangePage, ChangePosition, ChangeRepository
from app.ports.claims import Claim, ClaimRepository, Heartbeat, RunUpdate
from app.ports.clock import Clock
from app.ports.dispatch import (
    DispatchRepository,
    LeaderLock,
    ProjectionRepository,
    QueueCounts,
    UpkeepCounts,
    WaitingTask,
)
from app.ports.keys import ApiKeyRepository
from app.ports.sessions import SessionRepository
from app.ports.system import AgentDirectory, ScalingLog, SystemRepository, TaskStatistics
from app.ports.tasks import IdempotencyRecord, IdempotencyRepository, TaskFilter, TaskPage, TaskRepository
from app.ports.tickets import DrainLeases, RateDecision, RateLimiter, TaskQueue

__all__ = [
    "AgentDirectory",
    "ApiKeyRepository",
    "ChangePage",
    "ChangePosition",
    "ChangeRepository",
    "Claim",
    "ClaimRepository",
    "Clock",
    "DispatchRepository",
    "DrainLeases",
    "Heartbeat",
    "IdempotencyRecord",
    "IdempotencyRepository",
    "LeaderLock",
    "ProjectionRepository",
    "QueueCounts",
    "RateDecision",
    "RateLimiter",
    "RunUpdate",
    "ScalingLog",
    "SessionRepository",
    "SystemRepository",
    "TaskFilter",
    "TaskPage",
    "TaskQueue",
    "TaskRepository",
    "TaskStatistics",
    "UpkeepCounts",
    "WaitingTask",
]
