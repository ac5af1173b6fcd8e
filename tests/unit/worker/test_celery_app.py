"""A fetched message leads to a run, or is dropped without a trace."""

from __future__ import annotations

from typing import Any, cast

import pytest
from celery import Celery

from worker.celery_app import ProcessTask


class RuntimeDouble:
    def __init__(self) -> None:
        self.ran: list[tuple[str, str]] = []
        self.dropped: list[str] = []

    def run(self, task_id: str, *, ticket_id: str) -> None:
        self.ran.append((task_id, ticket_id))

    def drop_ticket(self, ticket_id: str) -> None:
        self.dropped.append(ticket_id)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> RuntimeDouble:
    double = RuntimeDouble()
    monkeypatch.setattr(ProcessTask, "runtime", cast("Any", double), raising=False)
    return double


def deliver(*arguments: object, **named: object) -> None:
    task = Celery(set_as_current=False).register_task(ProcessTask())
    task.push_request(id="t1:1")
    task.run(*arguments, **named)
    task.pop_request()


def test_a_ticket_runs_its_task_whatever_a_newer_version_adds(runtime: RuntimeDouble) -> None:
    deliver("t1", {"further": 1}, other=2)

    assert (runtime.ran, runtime.dropped) == ([("t1", "t1:1")], [])


@pytest.mark.parametrize("arguments", [(), (17,), ({"task_id": "t1"},)])
def test_a_ticket_that_is_not_understood_is_dropped(runtime: RuntimeDouble, arguments: tuple[object, ...]) -> None:
    deliver(*arguments)

    assert (runtime.ran, runtime.dropped) == ([], ["t1:1"])
