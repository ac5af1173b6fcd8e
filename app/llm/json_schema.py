"""Pydantic models as strict JSON schemas: the part of JSON Schema that all providers accept for structured output.

Strict means: every object closed, every property required, no defaults, no `$ref` with neighbours. Free keys
(`dict[str, …]`) cannot be expressed strictly and raise TypeError: a fault of the program, found by its first test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, JsonValue

from app.llm.providers.adapter import JsonObject, OutputSchema

# Some providers refuse bounds, so they move into the description; pydantic checks them after the answer.
_BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
)
_DROPPED = frozenset({"default", "title", "examples", "discriminator", "deprecated", "readOnly", "writeOnly"})
_NAMED_SCHEMAS = ("properties", "$defs")
_LISTED_SCHEMAS = ("anyOf", "allOf", "prefixItems")


@lru_cache(maxsize=256)
def output_schema(model: type[BaseModel]) -> OutputSchema:
    """Builds the schema and its name. Raises TypeError for a model that strict mode cannot express."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", model.__name__)[:64]  # OpenAI accepts at most 64 characters
    return OutputSchema(name=name, schema=to_strict(model.model_json_schema()))


def to_strict(schema: Mapping[str, JsonValue]) -> JsonObject:
    """Builds a strict copy of one schema and everything below it. Raises TypeError for free keys."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    strict: JsonObject = {}
    for key, value in schema.items():
        if key in _DROPPED or key in _BOUNDS:
            continue
        # Strict mode has no oneOf; pydantic checks afterwards that exactly one alternative fits.
        strict["anyOf" if key == "oneOf" else key] = _convert("anyOf" if key == "oneOf" else key, value)
    bounds = ", ".join(f"{key} {schema[key]}" for key in _BOUNDS if key in schema)
    if bounds:
        strict["description"] = f"{strict.get('description', '')} ({bounds})".strip()
    if schema.get("type") == "object":
        _close(strict, schema)
    return strict


def _convert(key: str, value: JsonValue) -> JsonValue:
    if key in _NAMED_SCHEMAS and isinstance(value, dict):
        return {name: to_strict(part) for name, part in value.items() if isinstance(part, dict)}
    if key in _LISTED_SCHEMAS and isinstance(value, list):
        return [to_strict(part) for part in value if isinstance(part, dict)]
    if key == "items" and isinstance(value, dict):
        return to_strict(value)
    return value


def _close(strict: JsonObject, schema: Mapping[str, JsonValue]) -> None:
    properties = schema.get("properties") or {}
    if schema.get("additionalProperties") not in (None, False) or (not properties and "properties" not in schema):
        raise TypeError("Strict structured output cannot express an object with free keys: list its fields.")
    strict["properties"] = strict.get("properties", {})
    strict["required"] = [*properties] if isinstance(properties, dict) else []
    strict["additionalProperties"] = False
