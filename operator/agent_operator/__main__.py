"""The operator's program, `python -m agent_operator`: reads the settings, sets up the logs and runs until SIGTERM."""

from __future__ import annotations

import sys

import uvloop

from agent_operator.main import operate
from app.errors import ConfigurationError
from app.garbage import collect_rarely
from app.settings import load_settings
from app.telemetry.logs import configure_logging


def main() -> int:
    try:
        settings = load_settings()
        configure_logging(settings.process, process="operator")
        collect_rarely()
        uvloop.run(operate(settings.operator, settings.broker))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
