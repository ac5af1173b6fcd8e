"""The OpenAPI document is complete: examples, errors, keys, nothing dangling."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.main import create_app
from app.settings import load_settings

PROBES = {"/health", "/ready", "/metrics"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(load_settings()).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_calls_are_those_of_the_contract(document: dict[str, Any]) -> None:
    assert {f"{method.upper()} {path}" for path, method, _ in operations(document)} == {
        "POST /v1/agent/execute",
        "GET /v1/agents",
        "GET /v1/tasks",
        "GET /v1/tasks/changes",
        "POST /v1/tasks/lookup",
        "GET /v1/tasks/{task_id}",
        "GET /v1/tasks/{task_id}/runs",
        "GET /v1/tasks/{task_id}/messages",
        "POST /v1/tasks/{task_id}/cancel",
        "GET /v1/sessions/{session_id}",
        "DELETE /v1/sessions/{session_id}",
        "GET /v1/system/autoscaler",
        "POST /v1/system/autoscaler",
        "GET /v1/system/metrics",
        "POST /v1/system/intake",
        "POST /v1/system/workers/{worker_id}/drain",
        "DELETE /v1/system/workers/{worker_id}/drain",
        "GET /health",
        "GET /ready",
        "GET /metrics",
    }


def test_every_call_names_its_errors_as_problem_documents(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if path in PROBES:
            continue
        statuses = {int(status) for status in operation["responses"]}
        assert statuses >= {401, 403, 429, 500, 503}, (method, path)
        if "parameters" in operation or "requestBody" in operation:
            assert 422 in statuses, (method, path)
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {"application/problem+json"}, (method, path, status)


def test_every_reference_has_its_schema(document: dict[str, Any]) -> None:
    names = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))

    assert names <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize("schema", ["ExecuteBody", "IntakeBody", "DrainBody", "AcceptedView", "ProblemView"])
def test_bodies_have_examples(document: dict[str, Any], schema: str) -> None:
    assert document["components"]["schemas"][schema]["examples"]


def test_calls_of_the_product_take_a_key_either_way(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        assert ("security" in operation) == (path not in PROBES), path
