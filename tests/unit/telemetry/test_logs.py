"""The form of a log line, and the values that never reach one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app.settings import ProcessSettings
from app.telemetry.logs import MASK, bind_log_context, configure_logging, get_logger, redact


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Captures the JSON lines, and restores the configuration of logging afterwards."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr("sys.stdout", stream)
    configure_logging(ProcessSettings(log_format="json"), process="api")
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_line_has_time_level_event_and_the_bound_ids(output: io.StringIO) -> None:
    with bind_log_context(request_id="r1", task_id="t1", session_id=None):
        get_logger("app.test").info("task_claimed", attempt=1)
    get_logger("app.test").info("outside")

    first, second = lines(output)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "message": "task_claimed",
        "level": "info",
        "logger": "app.test",
        "attempt": 1,
        "request_id": "r1",
        "task_id": "t1",
        "process": "api",
        "environment": "dev",
    }
    assert "request_id" not in second


def test_a_command_logs_beside_its_output(output: io.StringIO) -> None:
    beside = io.StringIO()
    configure_logging(ProcessSettings(log_format="json"), process="command", stream=beside)
    get_logger("app.test").warning("provider_key_missing")

    (line,) = lines(beside)
    assert (line["message"], line["process"]) == ("provider_key_missing", "command")
    assert lines(output) == []


def test_the_libraries_own_lines_come_in_the_same_shape(output: io.StringIO) -> None:
    logging.getLogger("some.library").warning("it is %s", "late", extra={"endpoint": "/v1"})

    (line,) = lines(output)
    assert (line["message"], line["level"], line["endpoint"]) == ("it is late", "warning", "/v1")


@pytest.mark.parametrize(
    "field", ["api_key", "openai_api_key", "password", "authorization", "task", "prompt", "content"]
)
def test_fields_that_hold_secrets_or_texts_are_masked(output: io.StringIO, field: str) -> None:
    get_logger("app.test").info("event", **{field: "very private"})

    (line,) = lines(output)
    assert line[field] == MASK


def test_numbers_about_tokens_are_no_secret(output: io.StringIO) -> None:
    get_logger("app.test").info("event", total_tokens=3)

    assert lines(output)[0]["total_tokens"] == 3


@pytest.mark.parametrize(
    "secret",
    [
        "sk-abcdefgh12345678",
        "tvly-abcdefgh12345678",
        "ao_abcdefghijklmnop1234",
        "redis://user:pass@host",
        "rediss://:pass@h",
    ],
)
def test_secrets_inside_a_text_are_masked(output: io.StringIO, secret: str) -> None:
    get_logger("app.test").warning("event", reason=f"refused {secret} again")

    assert secret not in output.getvalue()
    assert MASK in redact(secret)


def test_exceptions_are_one_line_of_json(output: io.StringIO) -> None:
    try:
        raise ValueError("sk-abcdefgh12345678")
    except ValueError:
        get_logger("app.test").exception("failed")

    (line,) = lines(output)
    assert "ValueError" in line["exception"]
    assert "sk-abc" not in line["exception"]
