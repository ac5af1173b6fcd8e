"""Structured logs: JSON for machines, coloured lines on a terminal.

An event is a constant name (`task_claimed`) with fields; `bind_log_context` adds the ids that every line of a request
or a run carries. No prompt, result or secret is logged at info; values of fields that hold one are masked.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

from app.settings import ProcessSettings, misspelt_variables

_SECRET_FIELD = re.compile(r"(api_?key|authorization|password|secret|token$)", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"\b(sk-[A-Za-z0-9_-]{8,}|tvly-[A-Za-z0-9_-]{8,}|ao_[A-Za-z0-9_-]{16,})|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)
_CONTENT_FIELDS = frozenset({"task", "prompt", "messages", "content", "raw_output", "result", "summary"})
MASK = "***"
# These libraries log a line per request, message or event at INFO.
NOISY = (
    "httpx", "httpcore", "httpx2", "openai", "anthropic", "pymongo", "uvicorn.access", "celery", "kombu",
    "kopf.objects", "kopf.activities", "botocore", "urllib3", "google_genai", "langchain_aws", "langchain_google_genai",
)  # fmt: skip

Logger = structlog.stdlib.BoundLogger


def get_logger(name: str) -> Logger:
    """Returns a logger whose first argument is the event's name; `name` is the module that logs."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger


def redact(text: str) -> str:
    """Masks keys and passwords inside a text: provider keys, our own keys, credentials in URLs."""
    return _SECRET_TEXT.sub(MASK, text)


def origin(error: BaseException) -> str:
    """Returns the line that raised, without the exception's text, which may hold what a user wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"


@contextmanager
def bind_log_context(**fields: str | None) -> Iterator[None]:
    """Adds fields (request_id, task_id, session_id, agent_name …) to every line logged in the block, except None."""
    present = {name: value for name, value in fields.items() if value is not None}
    with structlog.contextvars.bound_contextvars(**present):
        yield


def _mask(_: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if _SECRET_FIELD.search(name) or (name in _CONTENT_FIELDS and method != "debug"):
            event[name] = MASK
        elif isinstance(value, str):
            event[name] = redact(value)
    return event


def _static_fields(**fields: str) -> structlog.typing.Processor:
    """Adds fields that every line of the process carries."""
    # Not bound as context variables: a thread starts with an empty context.

    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**fields, **event}

    return add


def configure_logging(settings: ProcessSettings, *, process: str, stream: TextIO | None = None) -> None:
    """Sends all lines, those of libraries too, to `stream` in one format. Call it once, before anything else.

    Without a stream they go to stdout. A command whose output is read by programs logs to stderr.
    """
    target = sys.stdout if stream is None else stream
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not target.isatty())
    shared: list[structlog.typing.Processor] = [
        _static_fields(process=process, environment=settings.environment.value),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),  # the fields that a library passes as `extra`
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.StackInfoRenderer(),
    ]
    if as_json:  # the console renderer formats exceptions itself
        shared += [structlog.processors.format_exc_info, structlog.processors.EventRenamer("message")]
    shared.append(_mask)  # last, so that it masks the text of an exception, too
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str) if as_json else structlog.dev.ConsoleRenderer()
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]  # replaces a handler that a library installed: every line would come twice
    root.setLevel(settings.log_level)
    logging.captureWarnings(True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    for sentence in misspelt_variables():
        get_logger(__name__).warning("setting_misspelt", hint=sentence)
