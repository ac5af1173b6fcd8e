"""The OpenAPI document: FastAPI's, extended by problem documents and the two ways to send a key."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.auth import KEY_HEADER
from app.api.views.system import FieldProblem, ProblemView

_DESCRIPTION = """Submit a task in plain language. The agent that fits it answers, and no accepted task is lost.

Errors are problem documents (RFC 9457) with a stable `code`. Every answer carries `X-Request-ID`; send one to use your
own. Changes within /v1 only add."""
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, `ao_…`."},
    "apiKey": {"type": "apiKey", "in": "header", "name": KEY_HEADER, "description": "An API key, `ao_…`."},
}


def install_openapi(app: FastAPI) -> None:
    """Replaces FastAPI's generator. The document is built on first use and kept."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _build(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    schemas: dict[str, Any] = document["components"]["schemas"]
    for view in (FieldProblem, ProblemView):
        schema = view.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        schema.pop("$defs", None)  # the nested schemas are components of their own
        schemas[view.__name__] = schema
    # FastAPI describes its own form of 422, which this API never sends.
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["securitySchemes"] = _SCHEMES
    for path, operations in document["paths"].items():
        if path.startswith("/v1/"):
            for operation in operations.values():
                operation["security"] = [{"bearer": []}, {"apiKey": []}]
    return document
