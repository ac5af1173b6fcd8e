"""The trial of a database server: one start with an empty folder, which shows whether the program works here.

A `mongod` may be installed and still not start: a processor without AVX, a missing library, a limit of the system. Its
version does not show that.
"""

from __future__ import annotations

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
    """Starts the server and stops it again. Returns why it does not work, with the path of its log; None if it does."""
    log = folder.logs / f"{server.kind}-trial.log"
    lifeline, held = os.pipe()
    try:
        with TemporaryDirectory(prefix="trial-", dir=folder.path) as data:
            spec = server.spec(next(free_ports(1)), Path(data))
            fault = _start_and_stop(Child(spec, log=log, lifeline=lifeline, monotonic=time.monotonic))
    finally:
        os.close(lifeline)
        os.close(held)
    if fault is None:
        log.unlink(missing_ok=True)
        return None
    return f"it does not start ({fault}; see {log})"


def _start_and_stop(child: Child) -> str | None:
    give_up_at = time.monotonic() + START_SECONDS
    child.tick(startable=True)
    try:
        while not child.ready:
            if not child.alive:
                return child.status().last_exit
            if time.monotonic() > give_up_at:
                return f"no answer within {START_SECONDS:g} s"
            time.sleep(_POLL_SECONDS)
            child.tick(startable=False)
        return None
    finally:
        child.ask_to_stop()
        child.wait_until_stopped(until=time.monotonic() + STOP_SECONDS)
