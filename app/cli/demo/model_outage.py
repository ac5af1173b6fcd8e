"""An outage of one model of the simulator; real providers offer no such switch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx


def answering_model(task: Mapping[str, Any]) -> str:
    """Returns the model that wrote the task's answer: the last one that succeeded."""
    models = [attempt["model"] for step in task["steps"] for attempt in step["attempts"] if attempt["status"] == "ok"]
    return str(models[-1])


@contextmanager
def model_outage(simulator_url: str, model: str) -> Iterator[None]:
    """Makes every call of the model fail with 503 while the block runs."""
    with httpx.Client(base_url=simulator_url, trust_env=False) as simulator:
        simulator.post("/simulator/faults", json={"model": model, "fault": "down"}).raise_for_status()
        try:
            yield
        finally:
            simulator.delete("/simulator/faults").raise_for_status()
