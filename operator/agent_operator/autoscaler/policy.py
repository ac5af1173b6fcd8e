"""The rules by which workers are scaled: times in seconds, shares from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ANNOTATION = "autoscaler.agentorchestrator.dev/"


class WrongPolicy(Exception):
    """A setting that does not exist, or whose value is out of range: the text names each."""


class Policy(BaseModel):
    """`drain_target_seconds` is how fast a backlog should be worked off; `oldest_age_seconds` how long a task may wait.

    Times are settings, so that a test, or a simulation, can shorten them.
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
        """From names and values as texts. Raises WrongPolicy."""
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            problems = [
                f"{'.'.join(str(part) for part in problem['loc']) or 'policy'}: {problem['msg']}"
                for problem in error.errors(include_url=False)
            ]
            raise WrongPolicy("\n".join(problems)) from error

    def overridden(self, annotations: Mapping[str, str]) -> Policy:
        """With what the Deployment's annotations say instead, such as …/max-replicas. Raises WrongPolicy."""
        named = {
            name.removeprefix(ANNOTATION).replace("-", "_"): value
            for name, value in annotations.items()
            if name.startswith(ANNOTATION)
        }
        return Policy.of({**self.model_dump(), **named}) if named else self


def pairs(text: str) -> dict[str, str]:
    """`max_replicas=20 down_pods=2` as names and values, as the simulation takes them, too."""
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split())}
