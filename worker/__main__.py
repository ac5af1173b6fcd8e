"""`python -m worker`: starts settings, logs, runtime and Celery in this order, and closes them in reverse order."""

from __future__ import annotations

import asyncio
import sys

from app.errors import ConfigurationError
from app.garbage import collect_rarely
from app.llm.gateway import build_gateway
from app.server_check import refuse_unsuitable
from app.settings import load_settings
from app.telemetry.logs import configure_logging
from worker.assembly import GatewayFactory
from worker.celery_app import build_worker_app, worker_arguments
from worker.runtime import Runtime


def main(make_gateway: GatewayFactory = build_gateway) -> int:
    """Runs the worker until it is stopped; returns the exit status, 2 for a wrong setting."""
    try:
        settings = load_settings()
        configure_logging(settings.process, process="worker")
        asyncio.run(refuse_unsuitable(settings))
        runtime = Runtime(settings, make_gateway=make_gateway)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    app = build_worker_app(settings, runtime)
    collect_rarely()
    try:
        app.worker_main(worker_arguments(settings, hostname=runtime.worker_id))
    finally:
        runtime.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
