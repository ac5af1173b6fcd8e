"""The policy: the settings of the autoscaler. Times are in seconds, shares from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ANNOTATION = "autoscaler.agentorchestrator.dev/"


class WrongPolicy(Exception):
    """A policy with settings that do not exist or are out of range; the text names each of them."""


class Policy(BaseModel):
    """The settings of the autoscaler.

    A backlog should be done within `drain_target_seconds`, and no task should wait longer than `oldest_age_seconds`.
    Tests and simulations shorten the times.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_replicas: int = Field(default=1, ge=0, le=10_000)
    max_replicas: int = Field(default=10, ge=1, le=10_000)
    drain_target_seconds: float = Field(default=60, gt=0)
    utilisation: float = Field(default=0.8, gt=0, le=1)
    arrival_headroom: float = Field(default=1.2, ge=1)
    oldest_age_seconds: float = Field(default=300, gt=0)
    up_period_seconds: float = Field(default=5, gt=0)
    up_share: float = Field(default=1.0, gt=0)
    up_pods: int = Field(default=4, ge=1)
    down_window_seconds: float = Field(default=120, ge=0)
    down_share: float = Field(default=0.25, gt=0, le=1)
    down_pods: int = Field(default=1, ge=1)
    stale_seconds: float = Field(default=10, gt=0)
    rate_limited_share: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Policy:
        if self.max_replicas < self.min_replicas:
            raise ValueError("max_replicas must not be less than min_replicas")
        return self

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Policy:
        """Parses a policy from names and values as texts. Raises WrongPolicy."""
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            problems = [
                f"{'.'.join(str(part) for part in problem['loc']) or 'policy'}: {problem['msg']}"
                for problem in error.errors(include_url=False)
            ]
            raise WrongPolicy("\n".join(problems)) from error

    def overridden(self, annotations: Mapping[str, str]) -> Policy:
        """Returns the policy with the settings that the Deployment's annotations override, such as …/max-replicas.

        Raises WrongPolicy.
        """
        named = {
            name.removeprefix(ANNOTATION).replace("-", "_"): value
            for name, value in annotations.items()
            if name.startswith(ANNOTATION)
        }
        return Policy.of({**self.model_dump(), **named}) if named else self


def pairs(text: str) -> dict[str, str]:
    """Parses `max_replicas=20 down_pods=2`, the form of the setting and of the simulation, into names and values."""
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split())}
