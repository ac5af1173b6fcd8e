"""`models`: the chains of models, with what is known of each model, read with the settings of a worker."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from app import __version__
from app.broker.connections import connect_for_commands, redis_command
from app.cli.embedded.stack_settings import FoundSettings, find_settings
from app.cli.embedded.state import StateFolder
from app.cli.failure import CommandFailed
from app.cli.json_output import print_json
from app.cli.model_document import roles_without_model, to_document
from app.errors import BrokerUnavailable
from app.llm.dialect_book import KEY_PREFIX
from app.llm.gateway import build_gateway
from app.llm.hop_facts import ModelFacts, read_facts
from app.settings import ProcessSettings, Settings
from app.system_clock import SystemClock
from app.telemetry.logs import configure_logging
from app.telemetry.metrics import WorkerMetrics
from app.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from redis.asyncio import Redis


def show_models(path: Path, *, as_json: bool) -> None:
    """Prints the chains and the models. Raises CommandFailed if a role has no model that can be asked."""
    found = find_settings(StateFolder(path.absolute()))
    process = found.settings.process.model_copy(update={"log_level": "WARNING", "otlp_endpoint": None})
    configure_logging(process, process="command", stream=sys.stderr)
    facts = asyncio.run(read_model_facts(found.settings, process))
    if as_json:
        print_json(to_document(facts, of_stack=found.of_stack))
    else:
        # Imported here, as everywhere in the commands: --json need not wait for rich.
        from app.cli.console import open_console
        from app.cli.model_text import print_models

        print_models(open_console(), facts, title=_title(path, found))
    if (missing := roles_without_model(facts)) is not None:
        raise CommandFailed(missing)


def _title(path: Path, found: FoundSettings) -> str:
    if found.of_stack:
        return f"Models of the stack in {path}"
    other = f"; the stack in {path} was started with other variables" if found.other_stack else ""
    return f"Models of this environment{other}"


async def read_model_facts(settings: Settings, process: ProcessSettings) -> ModelFacts:
    """Reads the facts with the settings of a worker. Raises ConfigurationError for a chain that cannot be used."""
    async with AsyncExitStack() as stack:
        redis = connect_for_commands(settings.broker.redis_url)
        stack.push_async_callback(redis.aclose)
        gateway = build_gateway(
            settings,
            redis=redis if await _answers(redis) else None,
            metrics=WorkerMetrics(version=__version__).outbound,
            tracing=Tracing(process, process="command", version=__version__),
            clock=SystemClock(),
        )
        stack.push_async_callback(gateway.aclose)
        return await read_facts(gateway)


async def _answers(redis: Redis) -> bool:
    """Checks whether Redis answers. The connection stays open, so each of the short reads that follow finds it."""
    try:
        async with redis_command("read the dialects of the models"):
            await redis.exists(KEY_PREFIX)
    except BrokerUnavailable:
        return False
    return True
