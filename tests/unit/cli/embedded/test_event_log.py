"""The supervisor's log: a line per change, also after a time in which nothing could be written."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from io import FileIO
from pathlib import Path

from app.cli.embedded.event_log import EventLog
from app.cli.embedded.state import ProcessStatus, StackStatus

API = ProcessStatus(name="api", kind="api", pid=4, url="http://127.0.0.1:1", ready=True)
STATUS = StackStatus(supervisor_pid=1, phase="running", api_url="http://127.0.0.1:1", processes=[API])
DEAD = replace(STATUS, processes=[replace(API, pid=None, ready=False, last_exit="exit code 7")])
NOT_STARTED = replace(STATUS, processes=[replace(API, pid=None, ready=False, last_exit="not started: No space left")])


class NearlyFull(FileIO):
    """A log on a disk that has room for so many bytes, and takes a part of a line that is longer."""

    room = 0

    def write(self, content: bytes) -> int:  # type: ignore[override]  # the product writes bytes only
        written = super().write(content[: self.room])
        self.room -= written
        return written


def messages(log: Path) -> list[str]:
    return [json.loads(line)["message"] for line in log.read_text().splitlines()]


def test_every_change_is_a_line_and_a_status_without_one_is_none(tmp_path: Path) -> None:
    with (tmp_path / "log").open("a+b", buffering=0) as log:
        events = EventLog(log, terminal=False, ready_text="")
        assert [events.record(status) for status in (STATUS, STATUS, DEAD, NOT_STARTED)] == [True, False, True, True]
    assert messages(tmp_path / "log") == ["child_ready", "stack_running", "child_died", "child_died"]


def test_lines_that_a_full_disk_refused_are_counted_in_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("a+b", buffering=0) as log, Path("/dev/full").open("wb", buffering=0) as full:
        events = EventLog(log, terminal=False, ready_text="")
        kept = os.dup(log.fileno())
        os.dup2(full.fileno(), log.fileno())
        assert events.record(STATUS)
        os.dup2(kept, log.fileno())
        os.close(kept)
        assert events.record(DEAD)
    assert messages(path) == ["log_lines_lost", "child_died"]
    assert json.loads(path.read_text().splitlines()[0])["count"] == 2


def test_a_line_for_which_a_part_of_the_room_is_left_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with NearlyFull(path, "a+b") as log:
        events = EventLog(log, terminal=False, ready_text="")
        for room in (50, 120):  # the second holds the line about lost ones, and a part of the next
            log.room = room
            events.record_unwritten(f"No space left for {room}")
        lost_so_far = messages(path)
        log.room = 10_000
        events.record_unwritten("Read-only")
    assert lost_so_far == ["log_lines_lost"]
    assert messages(path) == ["log_lines_lost", "log_lines_lost", "status_not_written"]
    assert [json.loads(line).get("count") for line in path.read_text().splitlines()] == [1, 1, None]


def test_half_a_line_of_an_earlier_supervisor_costs_no_line_of_this_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"message": "child_ready"}\n{"message": "chi')
    with path.open("a+b", buffering=0) as log:
        EventLog(log, terminal=False, ready_text="").record(STATUS)
    _, half, *after = path.read_text().splitlines()
    assert half == '{"message": "chi'
    assert [json.loads(line)["message"] for line in after] == ["child_ready", "stack_running"]


def test_a_status_that_cannot_be_written_is_logged_once_until_it_is(tmp_path: Path) -> None:
    with (tmp_path / "log").open("a+b", buffering=0) as log:
        events = EventLog(log, terminal=False, ready_text="")
        for reason in ("No space left", "No space left", None, "No space left"):
            events.record_unwritten(reason)
    assert messages(tmp_path / "log") == ["status_not_written"] * 2
