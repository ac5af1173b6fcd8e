"""A decision about the number of workers, with its inputs."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict


class ScalingInputs(BaseModel):
    """The figures about the queue and the models. Ages and times are seconds, shares are from 0 to 1."""

    model_config = ConfigDict(frozen=True)

    backlog: int
    in_flight: int
    oldest_age_seconds: float
    arrival_rate: float
    mean_service_seconds: float
    rate_limited_share: float
    open_breakers: tuple[str, ...] = ()
    age_seconds: float
    held_back: int = 0


class ScalingDecision(BaseModel):
    """A decision about the Deployment's `replicas`: `draining` of them are leaving, `staying` is the number to keep.

    `desired` is the number that the figures call for. It is None if they were not used; `inputs` is None without any.
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
