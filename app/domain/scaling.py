"""A decision about the number of workers, with what it was made from."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict


class ScalingInputs(BaseModel):
    """What the autoscaler knew of the queue and the models; ages and times in seconds, shares from 0 to 1."""

    model_config = ConfigDict(frozen=True)

    backlog: int
    in_flight: int
    oldest_age_seconds: float
    arrival_rate: float
    mean_service_seconds: float
    rate_limited_share: float
    open_breakers: tuple[str, ...] = ()
    age_seconds: float


class ScalingDecision(BaseModel):
    """`replicas` are asked for now, of which `draining` are on their way out; `staying` is how many shall stay.

    `desired` is what the figures ask for, None where they were not asked; so are `inputs` where there were none.
    """

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    deployment: str
    replicas: int
    draining: int
    slots_per_pod: int
    staying: int
    desired: int | None
    reason: str
    explanation: str
    inputs: ScalingInputs | None
