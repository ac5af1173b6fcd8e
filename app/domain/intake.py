"""The state of the intake switch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Intake:
    """The switch. `reason` is shown to callers while new tasks are refused."""

    accepting: bool = True
    reason: str = ""
