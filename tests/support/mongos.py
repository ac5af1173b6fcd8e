"""A stand-in for a mongos, the router of a sharded MongoDB: no package of one can be had.

It answers every command as a mongos answers `hello`, and no command more than that.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import bson

from tests.support.servers import HOST

_HEADER = struct.Struct("<iiii")  # length, id, id of the request, kind
_REPLY, _QUERY, _MESSAGE = 1, 2004, 2013


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while head := self.rfile.read(_HEADER.size):
            length, request_id, _, kind = _HEADER.unpack(head)
            self.rfile.read(length - _HEADER.size)
            body = bson.encode(
                {
                    "ok": 1.0,
                    "isWritablePrimary": True,
                    "ismaster": True,
                    "msg": "isdbgrid",
                    "maxBsonObjectSize": 16_777_216,
                    "maxMessageSizeBytes": 48_000_000,
                    "maxWriteBatchSize": 100_000,
                    "minWireVersion": 0,
                    "maxWireVersion": 21,
                    "localTime": datetime.now(UTC),
                }
            )
            # A driver begins with the older kind of message, and asks in the newer one from then on.
            before = struct.pack("<iqii", 8, 0, 0, 1) if kind == _QUERY else struct.pack("<ib", 0, 0)
            answer = _REPLY if kind == _QUERY else _MESSAGE
            size = _HEADER.size + len(before) + len(body)
            self.wfile.write(_HEADER.pack(size, 0, request_id, answer) + before + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def running_mongos() -> Iterator[str]:
    """Yields the URI of a mongos on a free port."""
    with _Server((HOST, 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="mongos")
        thread.start()
        try:
            yield f"mongodb://{HOST}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
