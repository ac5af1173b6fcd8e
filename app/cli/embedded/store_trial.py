"""The trial of a database server: one start with an empty folder and one task, which show whether it works here.

A `mongod` may be installed and still not start: a processor without AVX, a missing library, a limit of the system. Its
version does not show that, nor whether another server takes every query.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from app.cli.embedded.child import Child
from app.cli.embedded.free_ports import free_ports
from app.cli.embedded.state import StateFolder
from app.cli.embedded.store_server import StoreServer

START_SECONDS = 20.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05


def find_fault(server: StoreServer, folder: StateFolder) -> str | None:
    """Starts the server and keeps a task on it. Returns why that does not work, with the path of the log, or None."""
    log = folder.logs / f"{server.kind}-trial.log"
    lifeline, held = os.pipe()
    try:
        with TemporaryDirectory(prefix="trial-", dir=folder.path) as data:
            spec = server.spec(next(free_ports(1)), Path(data))
            fault = _try_out(Child(spec, log=log, lifeline=lifeline, monotonic=time.monotonic), spec.url)
    finally:
        os.close(lifeline)
        os.close(held)
    if fault is None:
        log.unlink(missing_ok=True)
        return None
    what, why = fault
    return f"{what} ({why}; see {log})"


def _try_out(child: Child, url: str) -> tuple[str, str] | None:
    """Returns what the server does not do, and why; None if it works."""
    from app.cli.embedded.trial_task import find_fault_with_task  # here alone: the driver takes a while to import

    child.tick(startable=True)
    try:
        if why := _wait_until_ready(child):
            return "it does not start", why
        if why := asyncio.run(find_fault_with_task(url)):
            return "it cannot keep a task", why
        return None
    finally:
        child.ask_to_stop()
        child.wait_until_stopped(until=time.monotonic() + STOP_SECONDS)


def _wait_until_ready(child: Child) -> str | None:
    """Returns why the server does not become ready; None as soon as it is."""
    give_up_at = time.monotonic() + START_SECONDS
    while not child.ready:
        if not child.alive:
            return child.status().last_exit
        if time.monotonic() > give_up_at:
            return f"no answer within {START_SECONDS:g} s"
        time.sleep(_POLL_SECONDS)
        child.tick(startable=False)
    return None
