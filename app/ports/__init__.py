"""The seams between the services and the outside, as Protocols: stores, the broker, the clock.

`app.storage` and `app.broker` implement them; the composition roots choose. A Protocol has the methods that one
consumer needs; a store implements several. Every repository call that touches a tenant's data takes the tenant and
filters on it. Methods raise `StoreUnavailable` or `BrokerUnavailable` if their server does not answer, and the errors
that their docstrings name; no others.
"""

from __future__ import annotations

from app.ports.changes import ChangePage, ChangePosition, ChangeRepository
from app.ports.claims import Claim, ClaimRepository, ClaimReturner, Heartbeat, LeaseRenewer, RunUpdate, TicketReturner
from app.ports.clock import Clock
from app.ports.dispatch import (
    DispatchRepository,
    LeaderLock,
    ProjectionRepository,
    Projections,
    QueueCounter,
    QueueCounts,
    TaskUpkeep,
    UpkeepCounts,
    WaitingTask,
)
from app.ports.keys import ApiKeyRepository, KeyReader
from app.ports.retention import Retention
from app.ports.sessions import SessionRepository
from app.ports.system import AgentDirectory, RollUp, ScalingLog, SystemRepository, TaskStatistics
from app.ports.tasks import (
    IdempotencyReader,
    IdempotencyRecord,
    IdempotencyRepository,
    StoredTask,
    TaskFilter,
    TaskPage,
    TaskRepository,
)
from app.ports.tickets import DrainLeases, RateDecision, RateLimiter, TaskQueue

__all__ = [
    "AgentDirectory",
    "ApiKeyRepository",
    "ChangePage",
    "ChangePosition",
    "ChangeRepository",
    "Claim",
    "ClaimRepository",
    "ClaimReturner",
    "Clock",
    "DispatchRepository",
    "DrainLeases",
    "Heartbeat",
    "IdempotencyReader",
    "IdempotencyRecord",
    "IdempotencyRepository",
    "KeyReader",
    "LeaderLock",
    "LeaseRenewer",
    "ProjectionRepository",
    "Projections",
    "QueueCounter",
    "QueueCounts",
    "RateDecision",
    "RateLimiter",
    "Retention",
    "RollUp",
    "RunUpdate",
    "ScalingLog",
    "SessionRepository",
    "StoredTask",
    "SystemRepository",
    "TaskFilter",
    "TaskPage",
    "TaskQueue",
    "TaskRepository",
    "TaskStatistics",
    "TaskUpkeep",
    "TicketReturner",
    "UpkeepCounts",
    "WaitingTask",
]
