"""The worker closes what it opened in reverse order, also if its start fails half-way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import SecretStr

from app.errors import ConfigurationError
from app.settings import AgentSettings, BrokerSettings, ProcessSettings, Settings, load_settings
from app.telemetry.metrics import WorkerMetrics
from app.telemetry.tracing import Tracing
from tests.support.doubles import ManualClock
from worker import assembly
from worker.assembly import WorkerProcess, assembled, opened_clients
from worker.vitals import Vitals

COMMANDS, TICKETS = "redis://commands", "redis://tickets"
CLOSED_AFTER_THE_GATEWAY = ["web", "listening", TICKETS, COMMANDS, "mongo"]


class RecordedClient:
    """A client that records under its name that it was closed, and may fail to close."""

    def __init__(self, name: str, closed: list[str], *, fails: bool = False) -> None:
        self._name = name
        self._closed = closed
        self._fails = fails

    def __getitem__(self, collection: str) -> RecordedClient:
        return self

    def close(self) -> None:
        self._closed.append(self._name)
        if self._fails:
            raise OSError(f"{self._name} does not close")

    async def aclose(self) -> None:
        self.close()


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the names of the clients in the order in which they are closed."""
    names: list[str] = []

    def opener(name: str) -> Callable[..., RecordedClient]:
        return lambda *_: RecordedClient(name, names)

    monkeypatch.setattr(assembly, "connect", opener("mongo"))
    monkeypatch.setattr(assembly, "database", opener("database"))
    monkeypatch.setattr(
        assembly, "connect_for_commands", lambda url: RecordedClient(cast("SecretStr", url).get_secret_value(), names)
    )
    monkeypatch.setattr(assembly, "connect_for_listening", opener("listening"))
    monkeypatch.setattr(assembly, "build_web_client", opener("web"))
    return names


def worker_settings(**groups: Any) -> Settings:
    broker = BrokerSettings(redis_url=SecretStr(COMMANDS), celery_broker_url=SecretStr(TICKETS))
    return load_settings(broker=broker, **groups)


def worker_process() -> WorkerProcess:
    clock = ManualClock()
    return WorkerProcess(
        worker_id="w1",
        name="w1",
        metrics=WorkerMetrics(version="test"),
        tracing=Tracing(ProcessSettings(), process="worker", version="test"),
        clock=clock,
        vitals=Vitals(clock),
        fetched=frozenset,
    )


def gateway_factory(closed: list[str], *, fails: bool = False) -> Any:
    return lambda *_, **__: RecordedClient("gateway", closed, fails=fails)


async def test_clients_are_closed_in_reverse_order(closed: list[str]) -> None:
    async with opened_clients(worker_settings(), worker_process(), make_gateway=gateway_factory(closed)):
        assert closed == []

    assert closed == ["gateway", *CLOSED_AFTER_THE_GATEWAY]


async def test_a_client_that_fails_to_close_keeps_none_of_the_others_open(closed: list[str]) -> None:
    with pytest.raises(OSError, match="gateway"):
        async with opened_clients(
            worker_settings(), worker_process(), make_gateway=gateway_factory(closed, fails=True)
        ):
            pass

    assert closed == ["gateway", *CLOSED_AFTER_THE_GATEWAY]


async def test_a_start_that_fails_at_the_gateway_closes_what_was_opened(closed: list[str]) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ConfigurationError("no such model")

    with pytest.raises(ConfigurationError, match="no such model"):
        async with assembled(worker_settings(), worker_process(), make_gateway=refuse):
            pass

    assert closed == CLOSED_AFTER_THE_GATEWAY


async def test_a_start_that_fails_at_an_agent_closes_what_was_opened(closed: list[str]) -> None:
    settings = worker_settings(agents=AgentSettings(plugins=("no.such:agent",)))

    with pytest.raises(ConfigurationError, match="AGENT_PLUGINS"):
        async with assembled(settings, worker_process(), make_gateway=gateway_factory(closed)):
            pass

    assert closed == ["gateway", *CLOSED_AFTER_THE_GATEWAY]
