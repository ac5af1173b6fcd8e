"""`/metrics` and `/health` of the worker, on a port and a thread of their own.

Healthy is a process whose event loop has spoken within the last 20 seconds: a loop that hangs cannot renew its leases.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.errors import ConfigurationError
from app.telemetry.metrics import Metrics

STALL_SECONDS = 20.0


class ProbeServer:
    """Serves until closed. `seconds_since_tick`: how long ago the event loop last ran."""

    def __init__(self, host: str, port: int, *, metrics: Metrics, seconds_since_tick: Callable[[], float]) -> None:
        """Raises ConfigurationError when the port is taken."""
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(metrics, seconds_since_tick))
        except OSError as error:
            message = f"AGENT_METRICS_PORT: cannot listen on {host}:{port} ({error.strerror}); choose another port"
            raise ConfigurationError(message) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="probe", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(metrics: Metrics, seconds_since_tick: Callable[[], float]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                body, content_type = metrics.exposition(self.headers.get("Accept", ""))
                self._answer(200, body, content_type)
            elif self.path in ("/health", "/ready"):
                stalled_seconds = seconds_since_tick()
                healthy = stalled_seconds < STALL_SECONDS
                report = {"status": "ok" if healthy else "stalled", "loop_silent_seconds": round(stalled_seconds, 1)}
                self._answer(200 if healthy else 503, json.dumps(report).encode(), "application/json")
            else:
                self._answer(404, b"not found\n", "text/plain; charset=utf-8")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds and say nothing new."""

    return Handler
