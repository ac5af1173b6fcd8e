"""The server of the API process."""

from __future__ import annotations

import pytest

from app import main

USUAL_IDLE_SECONDS = 60


def test_idle_connections_outlive_those_of_load_balancers(monkeypatch: pytest.MonkeyPatch) -> None:
    servers: list[main.Server] = []
    monkeypatch.setattr(main.Server, "run", lambda server: servers.append(server))
    monkeypatch.setattr(main, "configure_logging", lambda *_, **__: None)
    monkeypatch.setattr(main, "collect_rarely", lambda: None)

    main.main()

    (server,) = servers
    assert server.config.timeout_keep_alive > USUAL_IDLE_SECONDS
