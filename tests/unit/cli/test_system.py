"""The state of the system on a terminal: everything wrong is named."""

from __future__ import annotations

from datetime import datetime
from io import StringIO
from typing import Any

from rich.console import Console

from app.cli.system import print_system

AT, SEEN_AT = "2026-01-01T12:00:03.5Z", "2026-01-01T12:00:04Z"
UP = {"status": "up", "latency_ms": 1.0, "detail": None}
QUEUE = {
    "length": 12,
    "waiting": 9,
    "exact": True,
    "runnable": 9,
    "listed": 3,
    "processing": 4,
    "oldest_age_seconds": 7.4,
    "as_of": AT,
}


def worker(**fields: Any) -> dict[str, Any]:
    usual = {"name": "w1", "condition": "ok", "draining": False, "paused": False, "running": 4, "reserved": 0}
    return {**usual, "slots": 64, "loop_lag_ms": 0.4, "memory_mb": 97.2, "seen_at": SEEN_AT, **fields}


def local(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%H:%M:%S}"


def shown(**fields: Any) -> str:
    system = {
        "intake": {"accepting": True, "reason": None},
        "queue": QUEUE,
        "workers": [worker()],
        "dependencies": {"mongodb": UP, "redis": UP},
    }
    console = Console(file=StringIO(), width=100)
    print_system(console, {**system, **fields})
    output = console.file
    assert isinstance(output, StringIO)
    return output.getvalue()


def test_a_system_that_works() -> None:
    text = shown()

    assert f"12 tasks wait, the oldest for 7 s; 4 run at {local(AT)}." in text
    figures = ["4", "0", "64", "0", "ms", "97", "MB"]
    assert text.rstrip().splitlines()[-1].split() == ["w1", "ok", *figures, local(SEEN_AT)]


def test_one_task_is_one() -> None:
    assert "1 task waits, the oldest for 7 s; 1 runs at" in shown(queue={**QUEUE, "length": 1, "processing": 1})


def test_tasks_that_limits_hold_back_are_named() -> None:
    assert f"4 run at {local(AT)}. Limits hold 7 of them back." in shown(queue={**QUEUE, "runnable": 2})


def test_a_queue_that_was_not_counted_to_the_end_has_at_least_so_many() -> None:
    assert "At least 12 tasks wait, the oldest for 7 s; 4 run at" in shown(queue={**QUEUE, "exact": False})


def test_conditions_drains_and_missing_servers_are_named() -> None:
    down = {"status": "down", "latency_ms": None, "detail": "no answer"}

    assert "store_away" in shown(workers=[worker(condition="store_away", paused=True)])
    assert "draining" in shown(workers=[worker(draining=True, paused=True)])
    assert "mongodb is down: no answer" in shown(dependencies={"mongodb": down})
    assert "No worker is running" in shown(workers=[])
    assert "while Redis does not answer" in shown(workers=None, queue=None)
    assert "No tasks are accepted: moving house" in shown(intake={"accepting": False, "reason": "moving house"})
