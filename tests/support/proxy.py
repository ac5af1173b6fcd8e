"""A TCP proxy that simulates a bad network: it cuts connections, and delays or drops bytes.

It runs on an event loop in a thread of its own. The test's thread calls its methods; when one returns, it is in effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.support.servers import HOST

CHUNK_BYTES = 65_536
STOP_SECONDS = 5.0


class Condition(Enum):
    """The condition of the network. CUT resets open and new connections; HALF_OPEN accepts bytes and drops them."""

    WHOLE = auto()
    CUT = auto()
    HALF_OPEN = auto()


@dataclass(eq=False)
class _Connection:
    """One client's connection and the proxy's to the server. `damaged`: bytes were dropped, so it must end."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    damaged: bool = False

    def reset(self) -> None:
        for writer in self.writers:
            with contextlib.suppress(OSError):
                writer.transport.abort()  # `close` would still send the buffered bytes


class TcpProxy:
    """A proxy from a free port of the address `listen` to `host:port`. It terminates TLS if `tls` is given."""

    def __init__(self, host: str, port: int, listen: str, tls: ssl.SSLContext | None = None) -> None:
        self._target = (host, port)
        self._tls = tls
        self._condition = Condition.WHOLE
        self._delay_seconds = 0.0
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server((listen, 0))
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(STOP_SECONDS)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(STOP_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        self._loop.close()

    def cut(self) -> None:
        self._change(lambda: self._enter(Condition.CUT))

    def half_open(self) -> None:
        self._change(lambda: self._enter(Condition.HALF_OPEN))

    def redirect(self, host: str, port: int) -> None:
        """Leads new connections to another server. Open ones stay with the server that they have."""

        def turn() -> None:
            self._target = (host, port)

        self._change(turn)

    def delay(self, seconds: float) -> None:
        """Delays each piece of up to CHUNK_BYTES by this number of seconds, in both directions."""

        def slow_down() -> None:
            self._delay_seconds = seconds

        self._change(slow_down)

    def heal(self) -> None:
        """Passes everything on again, and resets connections that lost bytes."""

        def restore() -> None:
            self._delay_seconds = 0.0
            self._enter(Condition.WHOLE)

        self._change(restore)

    def _enter(self, condition: Condition) -> None:
        self._condition = condition
        for connection in self._connections:
            if condition is Condition.CUT or (condition is Condition.WHOLE and connection.damaged):
                connection.reset()

    def _change(self, act: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(run)
        if not done.wait(STOP_SECONDS):
            raise RuntimeError(f"the proxy's event loop did not run a call within {STOP_SECONDS} s")

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._listener, ssl=self._tls)

    async def _close(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)  # the loop itself keeps only weak references to tasks
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection([writer])
        if self._condition is Condition.CUT:
            connection.reset()
            return
        self._connections.add(connection)
        try:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                connection.writers.append(far_writer)
                await asyncio.gather(
                    self._pump(connection, reader, far_writer), self._pump(connection, far_reader, writer)
                )
        finally:
            connection.reset()
            self._connections.discard(connection)

    async def _pump(self, connection: _Connection, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK_BYTES):
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            if self._condition is Condition.HALF_OPEN:
                connection.damaged = True
            if not connection.damaged:
                target.write(data)
                await target.drain()
        if self._condition is not Condition.HALF_OPEN:
            # One end has closed. The other must notice, or it would wait for bytes for ever.
            connection.reset()


@contextmanager
def running_proxy(host: str, port: int, *, listen: str = HOST, tls: ssl.SSLContext | None = None) -> Iterator[TcpProxy]:
    proxy = TcpProxy(host, port, listen, tls)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
