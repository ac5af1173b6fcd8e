"""TCP ports of this machine's loopback address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Returns True if a server could listen on the port now."""
    with socket.socket() as listener:
        # As servers do: without it a port with connections in TIME_WAIT would count as taken.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> Iterator[int]:
    """Finds different ports without a listener."""
    # All are held until the last one is known, so that the kernel gives none of them twice.
    with ExitStack() as held:
        listeners = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((HOST, 0))
        found: list[int] = [listener.getsockname()[1] for listener in listeners]
    return iter(found)
