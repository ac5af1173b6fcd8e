"""Loads to try a policy with: arrivals of tasks, the time that they take, and outages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

HOUR = 3600


def _no_outage(_: float) -> bool:
    return False


@dataclass(frozen=True)
class Trace:
    """A load. `arrivals` gives the tasks a second at a second of the trace; a new pod works after `start_seconds`.

    While `models_away`, running tasks make no progress.
    """

    name: str
    seconds: int
    arrivals: Callable[[float], float]
    service_seconds: float = 20.0
    start_seconds: float = 5.0
    models_away: Callable[[float], bool] = _no_outage


def _between(begin: float, end: float) -> Callable[[float], bool]:
    return lambda second: begin <= second < end


TRACES: Mapping[str, Trace] = {
    trace.name: trace
    for trace in (
        Trace("step", HOUR, lambda second: 0.2 if second < 600 else 4.0 if second < 2400 else 0.2),
        Trace("spike", HOUR, lambda second: 60.0 if 600 <= second < 620 else 0.1),
        Trace(
            "diurnal",
            4 * HOUR,
            lambda second: 2.0 * (1 - math.cos(2 * math.pi * second / (4 * HOUR))),
        ),
        Trace("llm-outage", HOUR, lambda _: 1.5, models_away=_between(900, 1500)),
        Trace("slow-start", HOUR, lambda second: 0.2 if second < 600 else 4.0, start_seconds=90.0),
        Trace("quiet", HOUR, lambda second: 0.2 if 600 <= second < 660 else 0.0),
    )
}
