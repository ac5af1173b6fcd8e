"""The limits of the providers for the JSON schemas of structured output; a real provider answers with 400."""

from __future__ import annotations

from collections.abc import Iterator

from app.simulator.dialect import refuse
from app.simulator.prompt import Json

_UNSUPPORTED_BY_ANTHROPIC = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems"}
)


def check_openai(schema: Json) -> None:
    """Raises Unacceptable if OpenAI's strict mode would refuse the schema."""
    if schema.get("type") != "object":
        raise refuse("Invalid schema for response_format: schema must be a JSON Schema of 'type: \"object\"'.")
    for part in _parts(schema):
        properties = part.get("properties")
        if "$ref" in part and len(part) > 1:
            raise refuse(f"Invalid schema: $ref cannot have keywords {sorted(set(part) - {'$ref'})}.")
        if "default" in part:
            raise refuse("Invalid schema: 'default' is not permitted.")
        if properties is None and part.get("type") != "object":
            continue  # the rules below are for objects
        if part.get("additionalProperties") is not False:
            raise refuse("Invalid schema: 'additionalProperties' is required to be supplied and to be false.")
        missing = sorted(set(properties or {}) - set(part.get("required", ())))
        if missing:
            raise refuse(f"Invalid schema: 'required' has to list every key in properties. Missing {missing}.")


def check_anthropic(schema: Json) -> None:
    """Raises Unacceptable if Anthropic's structured output would refuse the schema."""
    for part in _parts(schema):
        unsupported = sorted(_UNSUPPORTED_BY_ANTHROPIC & set(part))
        if unsupported:
            raise refuse(f"output_config.format.schema: properties {unsupported} are not supported.")
        if part.get("type") == "object" and part.get("additionalProperties") is not False:
            raise refuse("output_config.format.schema: 'additionalProperties' must be explicitly set to false.")


def _parts(schema: Json) -> Iterator[Json]:
    yield schema
    for key in ("properties", "$defs", "definitions"):
        for part in schema.get(key, {}).values():
            yield from _parts(part)
    for key in ("anyOf", "allOf", "oneOf", "prefixItems"):
        for part in schema.get(key, ()):
            yield from _parts(part)
    items = schema.get("items")
    if isinstance(items, dict):
        yield from _parts(items)
