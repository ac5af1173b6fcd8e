"""The state folder: its lock, and the status file, which counts only while a supervisor holds the lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.embedded.state import SPARE_MEGABYTES, ProcessStatus, StackStatus, StateFolder, describe_shortage

READY = ProcessStatus(name="api", kind="api", pid=4, url="http://127.0.0.1:1", ready=True)
WAITING = ProcessStatus(name="worker-1", kind="worker", pid=None, url="http://127.0.0.1:2", ready=False)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    return folder


def _status(*processes: ProcessStatus, phase: str = "running") -> StackStatus:
    return StackStatus(supervisor_pid=1, phase=phase, api_url="http://127.0.0.1:1", processes=list(processes))


def test_lock_is_held_by_one(folder: StateFolder) -> None:
    held = folder.lock()
    assert held is not None
    assert folder.lock() is None
    assert folder.running()
    held.close()
    assert not folder.running()


def test_status_of_a_stack_that_is_gone_is_not_believed(folder: StateFolder) -> None:
    folder.write_status(_status(READY))
    assert folder.read_status() is None


def test_status_of_a_running_stack_is_read_as_written(folder: StateFolder) -> None:
    with folder.lock() or pytest.fail("the lock is free"):
        assert folder.read_status() is None, "no status is written yet"
        folder.write_status(_status(READY, WAITING))
        assert folder.read_status() == _status(READY, WAITING)


def test_missing_folder_means_that_nothing_runs(tmp_path: Path) -> None:
    assert StateFolder(tmp_path / "nowhere").read_status() is None


@pytest.mark.parametrize(
    ("status", "ready"),
    [(_status(READY), True), (_status(READY, WAITING), False), (_status(READY, phase="starting"), False)],
)
def test_stack_is_ready_when_it_runs_and_every_process_answers(status: StackStatus, ready: bool) -> None:
    assert status.ready is ready


def test_folder_is_its_owners_only(folder: StateFolder) -> None:
    assert folder.path.stat().st_mode & 0o077 == 0


def test_a_full_disk_is_described_with_what_is_left_of_it(folder: StateFolder) -> None:
    assert describe_shortage(folder.path, SPARE_MEGABYTES) is None
    assert "3 MB are free" in (describe_shortage(folder.path, 3) or "")
    assert folder.read_shortage() is None, "the disk that the tests run on has room"
