"""The simulator as a process of its own, and its control API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.simulators import running_simulator


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The address of a running simulator."""
    with running_simulator() as server:
        yield server.url
        log = (server.folder / "log").read_text()
    assert log == "", "the simulator has to be quiet"


@pytest.fixture
def control(simulator: str) -> Iterator[httpx.Client]:
    """The control API; faults and calls are cleared around the test."""
    with httpx.Client(base_url=simulator) as client:
        client.delete("/simulator/faults")
        client.delete("/simulator/calls")
        yield client
        client.delete("/simulator/faults")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SDKs read the environment: nothing of it may reach these tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "TAVILY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
