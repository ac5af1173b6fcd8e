"""The OpenAPI document is complete: examples, errors, keys, nothing dangling."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.api import bodies
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
        assert statuses >= {401, 403, 422, 429, 500, 503}, (method, path)
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {"application/problem+json"}, (method, path, status)


def test_every_reference_has_its_definition(document: dict[str, Any]) -> None:
    for kind, name in re.findall(r"#/components/(\w+)/(\w+)", json.dumps(document)):
        assert name in document["components"][kind]
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize("schema", ["ExecuteBody", "IntakeBody", "DrainBody", "AcceptedView", "ProblemView"])
def test_bodies_have_examples(document: dict[str, Any], schema: str) -> None:
    assert document["components"]["schemas"][schema]["examples"]


def test_every_call_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(set(names)) == len(names)
    assert {"submitTask", "getTask", "listTasks", "cancelTask"} <= set(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)] == []


def test_examples_of_bodies_are_accepted(document: dict[str, Any]) -> None:
    schemas = {name: schema for name, schema in document["components"]["schemas"].items() if name.endswith("Body")}
    for name, schema in schemas.items():
        for example in schema.get("examples", ()):
            getattr(bodies, name).model_validate_json(json.dumps(example))


def closed(schema: Any) -> Any:
    """Returns the schema without room for fields that it does not name, so that an example has the fields of today."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    return {"additionalProperties": False, **parts} if isinstance(schema.get("properties"), dict) else parts


def answered(document: dict[str, Any]) -> dict[str, str]:
    """Returns the schema of the first successful answer of each call that answers with JSON, by the call's name."""
    found: dict[str, str] = {}
    for _, _, operation in operations(document):
        for status, response in sorted(operation["responses"].items()):
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            if status.startswith("2") and "$ref" in schema:
                found.setdefault(operation["operationId"], schema["$ref"].rpartition("/")[2])
    return found


MAIN_CALLS = {
    "submitTask", "listAgents", "listTasks", "listChanges", "lookupTasks", "getTask", "listRuns", "listMessages",
    "cancelTask", "getSession", "getMetrics",
}  # fmt: skip


def test_answers_of_the_main_calls_have_examples(document: dict[str, Any]) -> None:
    names = answered(document)
    assert set(names) >= MAIN_CALLS
    schemas = document["components"]["schemas"]
    assert [call for call in sorted(MAIN_CALLS) if not schemas[names[call]].get("examples")] == []


def test_examples_of_answers_have_the_fields_of_their_schemas(document: dict[str, Any]) -> None:
    components = closed(document["components"])
    for name in {*answered(document).values(), "ProblemView"}:
        validator = Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": components},
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        for example in components["schemas"][name].get("examples", ()):
            assert [f"{name}{error.json_path[1:]}: {error.message}" for error in validator.iter_errors(example)] == []


def test_addresses_are_relative_to_that_of_the_document(document: dict[str, Any]) -> None:
    assert document["servers"] == [{"url": "/"}]


def test_a_body_requires_no_more_than_the_api_does(document: dict[str, Any]) -> None:
    body = document["components"]["schemas"]["ExecuteBody"]

    assert body["required"] == ["task"]
    # openapi-typescript, and others, make a field with a default a required one.
    assert [name for name, field in body["properties"].items() if "default" in field] == []


def test_answers_name_their_headers(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"], (method, path, status)
            assert ("Retry-After" in response["headers"]) is (status in ("429", "503")), (method, path, status)
    accepted = document["paths"]["/v1/agent/execute"]["post"]["responses"]["202"]["headers"]
    assert set(accepted) == {"Location", "Preference-Applied", "Idempotency-Replayed", "X-Request-ID"}


def test_ids_and_keys_have_their_form(document: dict[str, Any]) -> None:
    task = document["components"]["schemas"]["TaskView"]["properties"]
    parameters = document["paths"]["/v1/agent/execute"]["post"]["parameters"]
    (key,) = (parameter for parameter in parameters if parameter.get("name", "").lower() == "idempotency-key")

    assert task["task_id"]["format"] == task["session_id"]["format"] == "uuid"
    assert re.fullmatch(key["schema"]["pattern"], "order-1")


def test_calls_of_the_product_take_a_key_either_way(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        assert ("security" in operation) == (path not in PROBES), path
