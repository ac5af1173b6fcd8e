"""The server of `/metrics`, `/health` and `/ready`, on a port and a thread of their own.

`worker.vitals` defines what healthy means. A worker becomes ready when both stores have answered it, and stays ready
while it is healthy: Kubernetes removes unready pods first, and one that has lost a store may have tasks in hand.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.errors import ConfigurationError
from app.telemetry.metrics import ProcessMetrics
from worker.vitals import Signs, judge

POLL_SECONDS = 0.5  # `close` waits for the next poll; each poll wakes a thread that competes with the event loop


class ProbeServer:
    """The server and its threads. Serves until closed, also while the event loop of the runs is stalled."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        metrics: ProcessMetrics,
        signs: Callable[[], Signs],
        ready: Callable[[], bool],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Starts the server. Raises ConfigurationError if the port is taken."""
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(metrics, signs, ready))
        except OSError as error:
            message = f"AGENT_METRICS_PORT: cannot listen on {host}:{port} ({error.strerror}); choose another port"
            raise ConfigurationError(message) from error
        self._server.daemon_threads = True  # a scraper that keeps its connection open must not delay the end
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[poll_seconds], name="probe", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _rounded(signs: list[tuple[str, float | bool]]) -> dict[str, float | bool]:
    return {name: value if isinstance(value, bool) else round(value, 1) for name, value in signs}


def _handler(
    metrics: ProcessMetrics, signs: Callable[[], Signs], ready: Callable[[], bool]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                body, content_type = metrics.exposition(self.headers.get("Accept", ""))
                self._answer(200, body, content_type)
            elif self.path in ("/health", "/ready"):
                seen = signs()
                condition = judge(seen)
                starting = self.path == "/ready" and not ready()
                status = 503 if condition.restart_helps or starting else 200
                report = {"status": condition, "starting": starting, **asdict(seen, dict_factory=_rounded)}
                self._answer(status, json.dumps(report).encode(), "application/json")
            else:
                self._answer(404, b"not found\n", "text/plain; charset=utf-8")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing: probes come every few seconds."""

    return Handler
