"""The state of the intake switch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Intake:
    accepting: bool = True
    reason: str = ""
