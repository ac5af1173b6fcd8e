"""Probes of a child: one short question over a socket.

An HTTP library would cost the supervisor more memory than all of its own code.
"""

from __future__ import annotations

import socket

from app.cli.embedded.free_ports import HOST

TIMEOUT_SECONDS = 1.0
_ANSWER_BYTES = 64


def _exchange(port: int, question: bytes) -> bytes:
    try:
        with socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS) as connection:
            if not question:
                return b"connected"
            connection.sendall(question)
            return connection.recv(_ANSWER_BYTES)
    except OSError:
        return b""


def accepts_connections(port: int) -> bool:
    return bool(_exchange(port, b""))


def answers_ping(port: int) -> bool:
    """Returns True if Valkey answers PING. While it loads its data it answers with an error."""
    return _exchange(port, b"PING\r\n").startswith(b"+PONG")


def answers_http(port: int, path: str) -> bool:
    """Returns True for a 2xx answer to GET."""
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n"
    status_line = _exchange(port, request.encode()).split(b" ", 2)
    return len(status_line) > 1 and status_line[1].startswith(b"2")
