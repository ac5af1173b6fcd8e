"""Reading of fields that may be missing, null or of another type: every server leaves out what it has no value for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def to_mapping(value: object) -> Mapping[str, Any]:
    """Returns the object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def to_object(value: object) -> dict[str, Any]:
    """Returns the object, also one that a list is around (Google). Raises ValueError for anything else."""
    inner = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(inner, dict):
        raise ValueError("not a JSON object")
    return inner


def each_mapping(value: object) -> Iterator[Mapping[str, Any]]:
    """Yields the objects of a list; skips everything else in it."""
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def to_text(value: object) -> str:
    """Returns a string, or the texts of a list of parts one after the other; parts of thinking are no text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    return "".join(
        part if isinstance(part, str) else to_text(to_mapping(part).get("text"))
        for part in value
        if not isinstance(part, dict) or part.get("type") not in ("thinking", "reasoning")
    )


def to_arguments(value: object) -> str:
    """Returns the arguments of a function as JSON text; some servers send the object itself."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value is not None else ""
