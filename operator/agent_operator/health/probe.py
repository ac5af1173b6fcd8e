"""`/health` and `/metrics` of the operator. The event loop that does the work answers them, so a blocked loop fails the
probe; `/health` names the duties that are dead, and the problems that a new start would not solve.

kopf has a liveness endpoint, too, but a probe of it hangs when its handler raises an ordinary exception.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from agent_operator.health.pulse import Pulse
from app.errors import ConfigurationError
from app.telemetry.metrics import ProcessMetrics


@asynccontextmanager
async def serving_probe(host: str, port: int, *, metrics: ProcessMetrics, pulse: Pulse) -> AsyncIterator[None]:
    """Answers requests while the body runs. Raises ConfigurationError if the port is in use."""

    async def health(_: web.Request) -> web.Response:
        dead = pulse.dead()
        silent = {duty: round(seconds, 1) for duty, seconds in pulse.silent_seconds().items()}
        state = {"status": "dead" if dead else "ok", "dead": dead, "problems": pulse.problems}
        report = {**state, "silent_seconds": silent}
        return web.json_response(report, status=503 if dead else 200)

    async def show_metrics(request: web.Request) -> web.Response:
        body, content_type = metrics.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/metrics", show_metrics)])
    # kopf handles SIGTERM and SIGINT; aiohttp must not replace its handlers.
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            message = f"AGENT_OPERATOR_PORT: cannot listen on {host}:{port} ({error.strerror}); choose another port"
            raise ConfigurationError(message) from error
        yield
    finally:
        await runner.cleanup()
