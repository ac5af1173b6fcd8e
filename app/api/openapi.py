"""The OpenAPI document: FastAPI's, extended by problems, answers, the two ways to send a key, and common headers."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.auth import KEY_HEADER, TENANT_HEADER
from app.api.middleware import REQUEST_ID_HEADER
from app.api.views.system import FieldProblem, ProblemView

_DESCRIPTION = """Submit a task in plain language. The agent that fits it answers, and no accepted task is lost.

Errors are problem documents (RFC 9457) with a stable `code`. Every answer carries `X-Request-ID`; send one to use your
own. Changes within /v1 only add."""
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, `ao_…`."},
    "apiKey": {"type": "apiKey", "in": "header", "name": KEY_HEADER, "description": "An API key, `ao_…`."},
}
_TENANT = {
    "name": TENANT_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Role service or admin: the tenant for which the call is made; left out, that of the key.",
}
_REQUEST_ID = {"schema": {"type": "string"}, "description": "The id of the request, in the logs too."}


def install_openapi(app: FastAPI) -> None:
    """Replaces FastAPI's generator. The document is built on first use and kept."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=_DESCRIPTION,
        license_info=app.license_info,
        # The API cannot know under which address its callers reach it: it is that of the document.
        servers=[{"url": "/"}],
        routes=app.routes,
    )
    schemas: dict[str, Any] = document["components"]["schemas"]
    for view in (FieldProblem, ProblemView):
        schema = view.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        schema.pop("$defs", None)  # the nested schemas are components of their own
        schemas[view.__name__] = schema
    for name, example in _read_answers().items():
        schemas[name]["examples"] = [example]
    # FastAPI describes its own form of 422, which this API never sends.
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"] |= {
        "securitySchemes": _SCHEMES,
        "parameters": {"Tenant": _TENANT},
        "headers": {"RequestId": _REQUEST_ID},
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _add_common_parts(operation, with_key=path.startswith("/v1/"))
    return document


def _read_answers() -> dict[str, Any]:
    """Reads answers that the API has given, by the names of their schemas."""
    # Not in the models: FastAPI leaves nulls out of their examples, and an answer has all its fields.
    answers: dict[str, Any] = json.loads(files("app.api.views").joinpath("answers.json").read_text(encoding="utf-8"))
    return answers


def _add_common_parts(operation: dict[str, Any], *, with_key: bool) -> None:
    """Adds the id that every answer carries, and to calls of the product the key and the tenant."""
    for response in operation["responses"].values():
        own = response.get("headers", {})
        response["headers"] = {**own, REQUEST_ID_HEADER: {"$ref": "#/components/headers/RequestId"}}
    if with_key:
        operation["security"] = [{"bearer": []}, {"apiKey": []}]
        operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/Tenant"})
