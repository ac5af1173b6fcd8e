"""The state of the whole system from its API: intake, queue, and each worker's condition."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.client import ApiClient, Json
from app.cli.text import plain

TIMEOUT_SECONDS = 3.0  # `status` must answer soon even if the API hangs: it still has the processes


def read_system(url: str, *, key: str | None) -> Json:
    """Reads `GET /v1/system/metrics`. Raises ApiFailed."""
    with ApiClient(url, key=key, timeout_seconds=TIMEOUT_SECONDS) as client:
        return client.system_metrics()


def print_system(console: Console, system: Json) -> None:
    """Prints the queue in a sentence, every server that is not up, and a line for each worker."""
    console.print(Text(_queue_sentence(system["intake"], system["queue"])))
    for name, dependency in system["dependencies"].items():
        if dependency["status"] != "up":
            detail = dependency["detail"]
            text = f"{name} is {dependency['status']}" + ("" if detail is None else f": {plain(detail)}")
            console.print(Text(text, style="red"))
    if system["workers"] is None:
        console.print(Text("The workers are unknown while Redis does not answer.", style="red"))
    elif not system["workers"]:
        console.print(Text("No worker is running: tasks are accepted and wait.", style="red"))
    else:
        console.print(_worker_table(system["workers"]))


def _queue_sentence(intake: Json | None, queue: Json | None) -> str:
    closed = "" if intake is None or intake["accepting"] else f" No tasks are accepted: {plain(intake['reason'] or '')}"
    if queue is None:
        return f"The length of the queue is unknown.{closed}"
    oldest = f", the oldest for {queue['oldest_age_seconds']:.0f} s" if queue["length"] else ""
    number = _waiting(queue["length"], exact=queue["exact"])
    held = 0 if queue["runnable"] is None or not queue["exact"] else queue["waiting"] - queue["runnable"]
    limited = f" Limits hold {held} of them back." if held else ""
    running = queue["processing"]
    # The figures of the workers are of another moment: without the times the two would contradict each other.
    at = f" at {_time(queue['as_of'])}" if "as_of" in queue else ""
    return f"{number}{oldest}; {running} {'runs' if running == 1 else 'run'}{at}.{limited}{closed}"


def _waiting(length: int, *, exact: bool) -> str:
    tasks = "1 task waits" if length == 1 else f"{length} tasks wait"
    return tasks if exact else f"At least {tasks}"


def _time(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%H:%M:%S}"


def _worker_table(workers: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("worker", "condition", "running", "reserved", "slots", "lag", "memory", "at"):
        table.add_column(column, no_wrap=True)
    for worker in workers:
        condition = worker["condition"]
        text = "draining" if worker["draining"] and condition == "ok" else condition
        table.add_row(
            Text(plain(worker["name"])),
            Text(plain(text), style={"ok": "green", "draining": "yellow"}.get(text, "red")),
            str(worker["running"]),
            str(worker["reserved"]),
            str(worker["slots"]),
            f"{worker['loop_lag_ms']:.0f} ms",
            f"{worker['memory_mb']:.0f} MB",
            _time(worker["seen_at"]),
        )
    return table
