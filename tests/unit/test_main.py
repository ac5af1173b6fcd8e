"""The server of the API process."""

from __future__ import annotations

import pytest

from app import main
from app.settings import Settings

USUAL_IDLE_SECONDS = 60


async def _no_server_is_asked(_: Settings) -> None:
    """Stands in for the check at the start: this test has no servers."""


def test_idle_connections_outlive_those_of_load_balancers(monkeypatch: pytest.MonkeyPatch) -> None:
    servers: list[main.Server] = []
    monkeypatch.setattr(main.Server, "run", lambda server: servers.append(server))
    monkeypatch.setattr(main, "configure_logging", lambda *_, **__: None)
    monkeypatch.setattr(main, "collect_rarely", lambda: None)
    monkeypatch.setattr(main, "refuse_unsuitable", _no_server_is_asked)

    main.main()

    (server,) = servers
    assert server.config.timeout_keep_alive > USUAL_IDLE_SECONDS
