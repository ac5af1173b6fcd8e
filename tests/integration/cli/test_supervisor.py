"""The supervisor with real stores as children: deaths, restarts, its own death, two stacks, kept data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from redis import Redis

from app.cli.embedded.free_ports import free_ports
from app.cli.embedded.launch import end_supervisor, start_supervisor, stop_stack
from app.cli.embedded.probes import answers_http
from app.cli.embedded.spec import ChildSpec, StackPlan
from app.cli.embedded.supervisor import ALREADY_RUNNING
from tests.integration.cli.stacks import (
    WAIT_SECONDS,
    Stack,
    is_gone,
    plan_with_stores,
    running,
    state_folder,
    web_spec,
)
from tests.support.child_process import ended
from tests.support.waiting import wait_for


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    folder = state_folder(tmp_path / "state")
    with running(folder, plan_with_stores(folder)) as stack:
        yield stack


@pytest.mark.parametrize("name", ["valkey", "mongo", "api"])
def test_killed_child_is_started_again_on_the_same_address(stack: Stack, name: str) -> None:
    before = stack.process(name)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    wait_for(lambda: stack.process(name).restarts == 1 and stack.status().ready, what=f"{name} is back")
    after = stack.process(name)
    assert after.pid != before.pid
    assert after.url == before.url
    assert after.last_exit == "killed by SIGKILL"


def test_child_that_needs_others_starts_after_them(stack: Stack) -> None:
    lines = (stack.folder.logs / "supervisor.log").read_text().splitlines()
    ready = [line for line in lines if "child_ready" in line]
    assert '"child": "api"' in ready[-1]


def test_kill_of_the_supervisor_leaves_nothing_behind(stack: Stack) -> None:
    pids = stack.pids()
    assert len(pids) == 3
    stack.supervisor.kill()
    stack.supervisor.wait(timeout=WAIT_SECONDS)
    wait_for(lambda: all(is_gone(pid) for pid in pids), what="all children are gone")
    assert not stack.folder.running()


def test_stop_ends_every_child_and_forgets_the_status(stack: Stack) -> None:
    pids = stack.pids()
    assert stop_stack(stack.folder)
    assert all(is_gone(pid) for pid in pids)
    assert stack.folder.read_status() is None
    assert not stop_stack(stack.folder)


def test_data_is_kept_between_stop_and_start(tmp_path: Path) -> None:
    folder = state_folder(tmp_path / "state")
    with running(folder, plan_with_stores(folder)) as stack:
        with MongoClient[dict[str, object]](stack.process("mongo").url) as mongo:
            mongo.test.things.insert_one({"_id": "kept"})
        with Redis.from_url(stack.process("valkey").url) as valkey:
            valkey.set("kept", "yes")
    with running(folder, plan_with_stores(folder)) as stack:
        with MongoClient[dict[str, object]](stack.process("mongo").url) as mongo:
            assert mongo.test.things.find_one({"_id": "kept"}) is not None
        with Redis.from_url(stack.process("valkey").url) as valkey:
            assert valkey.get("kept") == b"yes"


def test_two_stacks_run_side_by_side(stack: Stack, tmp_path: Path) -> None:
    other = state_folder(tmp_path / "other")
    with running(other, plan_with_stores(other)) as second:
        assert not {process.url for process in stack.status().processes} & {
            process.url for process in second.status().processes
        }
    assert stack.status().ready


def test_second_supervisor_of_a_folder_refuses(stack: Stack) -> None:
    with ended(start_supervisor(stack.folder, plan_with_stores(stack.folder), tethered=False)) as second:
        assert second.wait(timeout=WAIT_SECONDS) == ALREADY_RUNNING
    assert stack.status().ready


def test_end_of_a_supervisor_that_came_second_leaves_the_first_one_alone(stack: Stack) -> None:
    second = start_supervisor(stack.folder, plan_with_stores(stack.folder), tethered=False)
    end_supervisor(stack.folder, second)
    assert second.returncode is not None
    assert stack.status().ready


def test_child_that_always_dies_waits_longer_each_time_and_logs_it(tmp_path: Path) -> None:
    folder = state_folder(tmp_path / "state")
    port = next(free_ports(1))
    command = [sys.executable, "-c", "raise SystemExit(7)"]
    broken = ChildSpec("worker-1", "worker", command, "http://127.0.0.1", port, "http")
    supervisor = start_supervisor(folder, StackPlan(api_url="", children=[broken]), tethered=False)
    stack = Stack(folder, supervisor)
    try:
        wait_for(lambda: folder.read_status() is not None, what="it has a status")
        wait_for(lambda: (stack.process("worker-1").restart_delay_seconds or 0) >= 0.8, what="the delay grows")
        assert stack.process("worker-1").last_exit == "exit code 7"
        assert stack.status().phase == "starting"
    finally:
        stack.stop()


def test_full_disk_ends_neither_the_supervisor_nor_its_children(tmp_path: Path) -> None:
    folder = state_folder(tmp_path / "state")
    full = Path("/dev/full")  # every write to it fails as on a full disk
    (folder.logs / "supervisor.log").symlink_to(full)
    with running(folder, plan_with_stores(folder)) as stack:
        before = stack.process("api")
        assert before.pid is not None
        draft = folder.path / "stack.new"
        draft.symlink_to(full)
        os.kill(before.pid, signal.SIGKILL)
        port = int(before.url.rpartition(":")[2])
        wait_for(lambda: not answers_http(port, "/"), what="the child is gone")
        wait_for(lambda: answers_http(port, "/"), what="the child is started again")
        assert stack.process("api") == before, "the status could not be written"

        draft.unlink()
        wait_for(lambda: stack.process("api").restarts == 1, what="the status, as soon as there is room")
        assert stack.supervisor.poll() is None


def test_deleted_folder_ends_the_stack_which_no_command_would_find_any_more(stack: Stack) -> None:
    pids = stack.pids()
    (stack.folder.path / "lock").unlink()  # the rest of the folder may still be written to
    assert stack.supervisor.wait(timeout=WAIT_SECONDS) == 0
    assert all(is_gone(pid) for pid in pids)


def test_child_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    folder = state_folder(tmp_path / "state")
    log = folder.logs / "api.log"
    log.mkdir()  # so it cannot be opened
    supervisor = start_supervisor(
        folder, StackPlan(api_url="", children=[web_spec(next(free_ports(1)))]), tethered=False
    )
    stack = Stack(folder, supervisor)
    try:
        wait_for(lambda: folder.read_status() is not None and stack.process("api").restarts >= 1, what="a second try")
        assert stack.process("api").last_exit == "not started: Is a directory"
        log.rmdir()
        wait_for(lambda: stack.status().ready, what="the child is ready")
    finally:
        stack.stop()
    events = [json.loads(line) for line in (folder.logs / "supervisor.log").read_text().splitlines()]
    assert "not started: Is a directory" in {event.get("reason") for event in events}


def test_tethered_supervisor_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    folder = state_folder(tmp_path / "state")
    plan = StackPlan(api_url="", children=[web_spec(next(free_ports(1)))])
    script = tmp_path / "parent.py"
    script.write_text(_PARENT.format(folder=str(folder.path), plan=str(folder.plan)))
    plan.write(folder.plan)
    with ended(subprocess.Popen([sys.executable, str(script)])) as parent:  # noqa: S603 - a fixed command
        wait_for(lambda: (status := folder.read_status()) is not None and status.ready, what="the stack is ready")
        pids = Stack(folder, parent).pids()
    wait_for(lambda: not folder.running() and all(is_gone(pid) for pid in pids), what="the stack is gone")


_PARENT = """
import signal
from pathlib import Path
from app.cli.embedded.launch import start_supervisor
from app.cli.embedded.spec import StackPlan
from app.cli.embedded.state import StateFolder
folder = StateFolder(Path({folder!r}))
start_supervisor(folder, StackPlan.read(Path({plan!r})), tethered=True)
signal.pause()
"""
