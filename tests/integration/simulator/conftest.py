"""The simulator as a process of its own, and its control API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.simulators import running_simulator


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """Runs a simulator and gives its address."""
    with running_simulator() as server:
        yield server.url
        log = (server.folder / "log").read_text()
    assert log == "", "the simulator has to be quiet"


@pytest.fixture
def control(simulator: str) -> Iterator[httpx.Client]:
    """Opens the control API; clears faults, recordings and calls around the test."""
    with httpx.Client(base_url=simulator) as client:
        client.delete("/simulator/faults")
        client.delete("/simulator/recordings")
        client.delete("/simulator/calls")
        yield client
        client.delete("/simulator/faults")
        client.delete("/simulator/recordings")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Removes the environment variables that the SDKs would read."""
    monkeypatch.chdir(tmp_path)
    names = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    for name in (*names, "TAVILY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
