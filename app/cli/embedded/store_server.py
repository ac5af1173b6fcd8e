"""The choice of the database server of a stack: a `mongod` or a `secantusd-rs` of the PATH, else the embedded one.

A server of the PATH is chosen only if it starts on this machine. The data in a state folder stay with the server that
wrote them: each server has a folder of its own there, and one that no longer starts is not replaced by another one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.cli.embedded.free_ports import HOST
from app.cli.embedded.spec import ChildSpec
from app.cli.embedded.state import StateFolder
from app.cli.failure import CommandFailed

OLDEST_MONGOD = 7  # the queries are written for it
VERSION_SECONDS = 10.0


class StoreKind(StrEnum):
    """The servers by the names of their programs, the best one first."""

    MONGOD = "mongod"
    RUST = "secantusd-rs"
    EMBEDDED = "secantusd-py"


# Stacks of earlier versions have the data of the embedded server in `mongo`.
DATA_FOLDERS = {StoreKind.MONGOD: "mongod", StoreKind.RUST: "secantusd-rs", StoreKind.EMBEDDED: "mongo"}


@dataclass(frozen=True)
class StoreServer:
    """A server that can be started: its kind and its program."""

    kind: StoreKind
    program: Path

    @property
    def folder(self) -> str:
        """The name of the folder with its data."""
        return DATA_FOLDERS[self.kind]

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of the product that suit this server, by the names of their variables."""
        # Each write reads the whole catalog of indexes a dozen times. See `app.storage.mongo.SPARED_INDEXES`.
        return {"MONGO_FEW_INDEXES": "true"} if self.kind is StoreKind.EMBEDDED else {}

    def spec(self, port: int, data: Path) -> ChildSpec:
        """Plans the server with its data in the folder."""
        address = ["--port", str(port)]
        if self.kind is StoreKind.MONGOD:
            options = ["--bind_ip", HOST, *address, "--dbpath", str(data), "--nounixsocket", "--quiet"]
            command = [str(self.program), *options, "--wiredTigerCacheSizeGB", "1"]
        else:
            options = ["--host", HOST, *address, "--storage-path", str(data)]
            # Without the log of a replica set, which nobody reads here, a write costs a third less.
            command = [str(self.program), *options, "--standalone", "--cache-size", "1G", "--log-level", "WARNING"]
        # A server may report a replica set under a name that need not resolve: clients must not connect to that name.
        url = f"mongodb://{HOST}:{port}/?directConnection=true"
        environment = {} if self.kind is StoreKind.MONGOD else {"WIREDTIGER_CONFIG": _WIREDTIGER}
        return ChildSpec("mongo", "mongo", command, url, port, "tcp", environment=environment, program=self.kind.value)


# WiredTiger cannot evict uncommitted data from its cache. With a small cache and its default share for such data, 20 %,
# several results of some megabytes stop it for good: each thread waits for another one to make room.
_SHARES = ("dirty_trigger=90", "dirty_target=60", "updates_trigger=90", "updates_target=60")
_WIREDTIGER = ",".join(f"eviction_{share}" for share in _SHARES)


FindFault = Callable[[StoreServer, StateFolder], str | None]


def choose_store_server(folder: StateFolder, *, find_fault: FindFault) -> tuple[StoreServer, list[str]]:
    """Returns the server whose data the folder has, else the best one that is installed and starts.

    The texts beside it name each better one that is installed, and why it is not used. `find_fault` returns why a
    server does not start; None if it does. Raises CommandFailed if the folder has the data of a server that is not
    installed any more.
    """
    used = next((kind for kind in StoreKind if folder.has_data(DATA_FOLDERS[kind])), None)
    if used is not None:
        return _require_store_server(used, folder), []
    rejected: list[str] = []
    for kind in (StoreKind.MONGOD, StoreKind.RUST):
        server = find_store_server(kind)
        if server is None:
            continue
        fault = _find_fault_of_version(server) or find_fault(server, folder)
        if fault is None:
            return server, rejected
        rejected.append(f"{server.program} is not used as the database: {fault}.")
    return embedded_store_server(), rejected


def _require_store_server(used: StoreKind, folder: StateFolder) -> StoreServer:
    server = find_store_server(used)
    if server is None or _find_fault_of_version(server) is not None:
        raise CommandFailed(
            f"The data in {folder.path} are those of {used}, which is not on the PATH (a mongod has to be of version "
            f"{OLDEST_MONGOD} or later); install it, or use another folder with --state."
        )
    return server


def embedded_store_server() -> StoreServer:
    # A process of its own, never imported: its licence (GPL) is not the product's.
    return StoreServer(StoreKind.EMBEDDED, Path(sys.executable).with_name(StoreKind.EMBEDDED.value))


def find_store_server(kind: StoreKind) -> StoreServer | None:
    """Finds the program of a server; None if it is not on the PATH."""
    if kind is StoreKind.EMBEDDED:
        return embedded_store_server()
    program = shutil.which(kind.value)
    return None if program is None else StoreServer(kind, Path(program))


def _find_fault_of_version(server: StoreServer) -> str | None:
    """Returns why a mongod is of no use before it is started; None if nothing shows that it is."""
    if server.kind is not StoreKind.MONGOD:
        return None
    version = _major_version(server.program)
    if version is None:
        return "it does not print its version"
    return f"it is older than version {OLDEST_MONGOD}" if version < OLDEST_MONGOD else None


def _major_version(program: Path) -> int | None:
    try:
        told = subprocess.run(  # noqa: S603 - the program that PATH names
            [program, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"db version v(\d+)\.", told)
    return int(version[1]) if version else None
