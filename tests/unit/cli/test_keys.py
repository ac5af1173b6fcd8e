"""The database of the `keys` commands: never another one than the person named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.embedded.state import ProcessStatus, StackStatus, StateFolder
from app.cli.keys import _describe, _store_settings
from app.settings import load_settings

EMBEDDED = "mongodb://127.0.0.1:9/"
NAMED = "mongodb://db.example/"


@pytest.fixture(autouse=True)
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes a running stack with an embedded database in the usual folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONGO_URI", raising=False)
    folder = StateFolder(tmp_path / ".agent-orchestrator")
    folder.create()
    store = ProcessStatus("mongo", "mongo", 1, EMBEDDED, ready=True)
    with folder.lock() or pytest.fail("the lock is free"):
        folder.write_status(StackStatus(supervisor_pid=1, phase="running", api_url="", processes=[store]))
        yield


def address(state: Path | None) -> str:
    return _store_settings(state).uri.get_secret_value()


def test_without_a_named_database_it_is_that_of_the_local_stack() -> None:
    assert address(None) == EMBEDDED


def test_a_named_database_wins_over_the_local_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URI", NAMED)

    assert address(None) == NAMED


def test_a_database_that_the_file_names_wins_as_well(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"MONGO_URI={NAMED}\n")

    assert address(None) == NAMED


def test_a_named_folder_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URI", NAMED)

    assert address(Path(".agent-orchestrator")) == EMBEDDED


def test_the_database_is_described_without_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URI", "mongodb://user:secret@a.example:27017,b.example/?replicaSet=rs0")
    monkeypatch.setenv("MONGO_DB_NAME", "orders")

    assert _describe(load_settings().store) == "Database: orders at a.example:27017,b.example"
