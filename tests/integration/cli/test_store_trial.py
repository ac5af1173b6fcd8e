"""The trial of a database server, with programs that listen, end or fall silent."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from app.cli.embedded import store_trial
from app.cli.embedded.state import StateFolder
from app.cli.embedded.store_server import StoreKind, StoreServer, embedded_store_server
from app.cli.embedded.store_trial import find_fault
from tests.integration.cli.stacks import state_folder

LISTENS = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1]))) as server:
    while True:
        server.accept()[0].close()
"""
ENDS = "raise SystemExit('no AVX')"
IS_SILENT = "import signal; signal.pause()"


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return state_folder(tmp_path / "state")


def mongod(folder: Path, script: str) -> StoreServer:
    program = folder / "mongod"
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    return StoreServer(StoreKind.MONGOD, program)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_server_that_listens_works_and_leaves_nothing(tmp_path: Path, state: StateFolder) -> None:
    before = psutil.Process().children()

    assert find_fault(mongod(tmp_path, LISTENS), state) is None
    assert names(state.path) == ["logs"]
    assert psutil.Process().children() == before


def test_the_embedded_server_works(state: StateFolder) -> None:
    assert find_fault(embedded_store_server(), state) is None


def test_a_server_that_ends_is_named_with_its_exit_code_and_its_log(tmp_path: Path, state: StateFolder) -> None:
    log = state.logs / "mongod-trial.log"

    assert find_fault(mongod(tmp_path, ENDS), state) == f"it does not start (exit code 1; see {log})"
    assert "no AVX" in log.read_text()


def test_a_server_that_does_not_answer_is_ended(
    tmp_path: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_trial, "START_SECONDS", 0.5)
    before = psutil.Process().children()

    fault = find_fault(mongod(tmp_path, IS_SILENT), state)

    assert fault is not None
    assert "no answer within 0.5 s" in fault
    assert psutil.Process().children() == before
