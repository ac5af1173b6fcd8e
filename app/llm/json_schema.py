"""Pydantic models as strict JSON schemas: the part of JSON Schema that all vendors accept for structured output.

Strict means: every object closed, every property required, no defaults, no `$ref` with neighbours. Bounds (minimum,
maxLength …) are refused by some vendors, so they move into the description, and pydantic checks them afterwards. Free
keys (`dict[str, …]`) cannot be said strictly and are refused: a fault of the program, found by its first test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, JsonValue

from app.llm.providers.adapter import JsonObject, OutputSchema

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
    """The schema and its name. Raises TypeError where strict mode cannot say what the model says."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", model.__name__)[:64]
    return OutputSchema(name=name, schema=to_strict(model.model_json_schema()))


def to_strict(schema: Mapping[str, JsonValue]) -> JsonObject:
    """A strict copy of one schema and everything below it. Raises TypeError for free keys."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    strict: JsonObject = {}
    for key, value in schema.items():
        if key in _DROPPED or key in _BOUNDS:
            continue
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
