"""The trial of a database server: a real one, and programs that end or fall silent."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from app.cli.embedded import store_trial
from app.cli.embedded.state import StateFolder
from app.cli.embedded.store_server import StoreKind, StoreServer, embedded_store_server
from app.cli.embedded.store_trial import find_fault
from app.storage import claims, dispatch
from tests.integration.cli.stacks import state_folder

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


def test_a_server_that_keeps_a_task_works_and_leaves_nothing(state: StateFolder) -> None:
    before = psutil.Process().children()

    assert find_fault(embedded_store_server(), state) is None
    assert names(state.path) == ["logs"]
    assert psutil.Process().children() == before


@pytest.mark.parametrize(
    ("module", "function", "part"), [(claims, "later", "claim task"), (dispatch, "literal", "dispatch tasks")]
)
def test_a_server_that_refuses_a_write_of_a_task_is_named_with_the_write(
    module: ModuleType, function: str, part: str, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, function, lambda _value: {"$known_to_no_server": 1})
    log = state.logs / "secantusd-py-trial.log"

    fault = find_fault(embedded_store_server(), state)

    assert fault is not None
    assert fault.startswith(f"it cannot keep a task (MongoDB refused to {part}")
    assert fault.endswith(f"; see {log})")


def test_a_server_on_which_a_claim_matches_nothing_is_named(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "still", lambda _value: {"$in": []})

    fault = find_fault(embedded_store_server(), state)

    assert fault is not None
    assert fault.startswith("it cannot keep a task (a write of a task changed nothing there; see ")


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
