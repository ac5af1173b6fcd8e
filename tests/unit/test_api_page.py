"""docs/api.md lists every code of an error, of a request and of a task, and every event."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import errors
from app.domain.run import EventName
from app.domain.task import TaskRequest
from app.errors import AgentOrchestratorError, ClaimLost, ConfigurationError, Postponed, TaskFailure
from app.settings import GROUPS

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
# These never leave a process.
INTERNAL = (ClaimLost, ConfigurationError, Postponed)


def rows(heading: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yields the names and the other cells of each row in the table below a heading, or with this first row."""
    section = PAGE.partition(heading)[2].partition("\n## ")[0]
    for line in re.findall(r"(?m)^\| (`.*) \|$", section):
        first, *cells = line.split(" | ")
        yield re.findall(r"`(\w+)`", first), cells


def defined(root: type[AgentOrchestratorError]) -> Iterator[type[AgentOrchestratorError]]:
    """Yields the classes with a code of their own; bases have none."""
    if root.__module__ != errors.__name__:
        return
    if "code" in vars(root):
        yield root
    for child in root.__subclasses__():
        yield from defined(child)


def test_every_refusal_is_listed_with_its_status_and_whether_a_repeat_helps() -> None:
    listed = {
        (code, int(status), repeat == "yes")
        for codes, (status, repeat, _) in rows("## Errors of a request")
        for code in codes
    }
    assert listed == {
        (error.code, error.http_status, error.retryable)
        for error in defined(AgentOrchestratorError)
        if not issubclass(error, (TaskFailure, *INTERNAL))
    }


def test_every_error_of_a_task_is_listed_once() -> None:
    listed = [code for codes, _ in rows("## Errors of a task") for code in codes]

    assert sorted(listed) == sorted(error.code for error in defined(TaskFailure))


def test_every_event_is_listed_once() -> None:
    listed = [name for names, _ in rows("| event | meaning |") for name in names]

    assert sorted(listed) == sorted(EventName)


def test_every_field_of_a_submission_is_listed() -> None:
    listed = {name for names, _ in rows("## Submitting a task") for name in names}

    assert listed == set(TaskRequest.model_fields)


def test_every_setting_exists() -> None:
    codes = {error.code for error in defined(AgentOrchestratorError)}
    named = set(re.findall(r"`((?:AGENT|API|TAVILY)_[A-Z_]+)[`=]", PAGE)) - codes
    existing = {str(field.validation_alias) for group in GROUPS.values() for field in group.model_fields.values()}

    assert named - existing == set()


def test_the_example_in_python_prints_the_error_of_a_task_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {"task_id": "1", "status": "failed", "result": None, "error": {"type": "LLM_REFUSED"}}
    monkeypatch.setenv("api", "http://127.0.0.1:8080")
    monkeypatch.setenv("key", "secret")
    monkeypatch.setattr(urllib.request, "urlopen", lambda _: io.BytesIO(json.dumps(failed).encode()))
    example = PAGE.partition("```python\n")[2].partition("```")[0]

    exec(example, {})  # noqa: S102 - the page itself is under test

    assert capsys.readouterr().out == "failed {'type': 'LLM_REFUSED'}\n"
