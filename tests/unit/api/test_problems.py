"""Every error crosses HTTP as a problem document with a code of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from starlette.exceptions import HTTPException

from app import errors
from app.api.problems import PROBLEM_JSON, problem_response, to_ours
from app.errors import AgentOrchestratorError


def every_class(root: type[AgentOrchestratorError]) -> Iterator[type[AgentOrchestratorError]]:
    for child in root.__subclasses__():
        yield child
        yield from every_class(child)


def build(error_class: type[AgentOrchestratorError]) -> AgentOrchestratorError:
    if issubclass(error_class, errors.IdempotencyConflict):
        return error_class("text", task_id="t")
    if issubclass(error_class, errors.RateLimited | errors.IntakePaused):
        return error_class("text", retry_after_seconds=7)
    return error_class("text")


@pytest.mark.parametrize("error_class", list(dict.fromkeys(every_class(AgentOrchestratorError))))
def test_every_error_is_a_problem_document(error_class: type[AgentOrchestratorError]) -> None:
    answer = problem_response(build(error_class), request_id="r")

    body = json.loads(bytes(answer.body))
    assert answer.media_type == PROBLEM_JSON
    assert (answer.status_code, body["status"]) == (error_class.http_status, error_class.http_status)
    assert (body["code"], body["error_category"]) == (error_class.code, error_class.category)
    assert body["request_id"] == "r"
    assert body["type"].startswith("urn:")
    assert body["title"]
    assert ("retry-after" in answer.headers) == (error_class.http_status in (429, 503))


def test_codes_that_cross_http_are_distinct() -> None:
    leaves = [error_class for error_class in every_class(errors.RequestError) if not error_class.__subclasses__()]

    assert len({leaf.code for leaf in leaves}) == len(leaves)


def test_an_internal_error_shows_no_detail() -> None:
    answer = problem_response(ValueError("password=hunter2"), request_id="r")

    assert answer.status_code == 500
    assert json.loads(bytes(answer.body))["code"] == "INTERNAL_ERROR"
    assert b"hunter2" not in bytes(answer.body)


def test_a_store_error_shows_no_detail() -> None:
    assert b"code 8000" not in bytes(problem_response(errors.StoreError("code 8000"), request_id="r").body)


@pytest.mark.parametrize(
    ("status", "code"), [(404, "ROUTE_NOT_FOUND"), (405, "METHOD_NOT_ALLOWED"), (418, "INTERNAL_ERROR")]
)
def test_the_frameworks_errors_become_ours(status: int, code: str) -> None:
    assert to_ours(HTTPException(status)).code == code
