"""JSON out of what a model wrote, before another answer is paid for.

Models think aloud before their JSON, put it into a fence, explain it, add a key, write null for an empty list, 95 for
0.95, or `codeagent` for `CodeAgent`. None of that changes what they mean. `loose_json` reads the slips in the JSON
itself.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from app.llm.interface import Parsed
from app.llm.loose_json import ReadObject, read_object
from app.llm.providers.thoughts import without_thoughts

# More opening braces than any prose has; each may start an object, and is tried.
_MOST_STARTS = 50
# One mended mistake may uncover another one.
_ROUNDS = 3
# Pydantic lists the values that it expects as Python writes them: 'a', 'b' or "it's".
_EXPECTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def read_json(text: str, schema: type[Parsed]) -> Parsed:
    """Reads the object that fits the schema. Raises ValidationError for the object that comes nearest: the first."""
    first: ValidationError | None = None
    for candidate in json_objects(text):
        try:
            return validate_leniently(candidate, schema)
        except ValidationError as error:
            first = first or error
    if first is not None:
        raise first
    return schema.model_validate_json(text.strip() or "null")


def json_objects(text: str) -> Sequence[dict[str, Any]]:
    """Lists the JSON objects in a text, not those within another one: first those without slips.

    A sketch of the form, which often comes before the answer, seldom is without.
    """
    in_order = sorted(_find_objects(text), key=lambda found: not found.well_formed)
    return [found.value for found in in_order if found.value is not None]


def _find_objects(text: str) -> Iterator[ReadObject]:
    """Yields the objects in the order of their beginnings."""
    rest = without_thoughts(text)
    at = rest.find("{")
    for _ in range(_MOST_STARTS):
        if at < 0:
            return
        found = read_object(rest, at)
        yield found
        at = rest.find("{", found.end)


def validate_leniently(value: dict[str, Any], schema: type[Parsed]) -> Parsed:
    """Validates the object after mending what has only one meaning. Raises ValidationError for what is left."""
    mended: Any = value
    for _ in range(_ROUNDS):
        try:
            return schema.model_validate(mended)
        except ValidationError as error:
            mended = json.loads(json.dumps(value)) if mended is value else mended
            problems = error.errors(include_url=False)
            if sum(_mend(mended, problem) for problem in problems) == 0:
                raise
    return schema.model_validate(mended)


def _mend(value: Any, problem: ErrorDetails) -> bool:
    """Mends one problem in place. Returns False if its meaning is not clear."""
    *path, key = problem["loc"] or ("",)
    holder = _follow(value, path)
    if holder is None or not _has(holder, key):
        return False
    if problem["type"] == "extra_forbidden" or holder[key] is None:
        # Without a default the field is missing then, which is the true problem.
        return holder.pop(key, ...) is not ... if isinstance(holder, dict) else False
    better = _nearest(holder[key], problem)
    if better is None:
        return False
    holder[key] = better
    return True


def _follow(value: Any, path: list[int | str]) -> Any:
    for key in path:
        if not _has(value, key):
            return None  # a step of the path that names a type of a union, not a field
        value = value[key]
    return value


def _has(holder: Any, key: int | str) -> bool:
    if isinstance(holder, dict):
        return key in holder
    return isinstance(holder, list) and isinstance(key, int) and key < len(holder)


def _nearest(found: Any, problem: ErrorDetails) -> JsonValue:
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "less_than_equal" if limits["le"] == 1:
            return _share(found)
        case "string_too_long" | "too_long":
            return found[: int(limits["max_length"])] if isinstance(found, str | list) else None
        case "float_parsing" | "float_type" if isinstance(found, str) and found.strip().endswith("%"):
            return _percent(found.strip()[:-1])
        case "string_type" if isinstance(found, int | float) and not isinstance(found, bool):
            return str(found)
        case "list_type" if isinstance(found, str):
            return [found]
        case "literal_error" | "enum" if isinstance(found, str):
            return _same_word(found, limits["expected"])
    return None


def _same_word(found: str, expected: str) -> str | None:
    """Finds the one expected value that differs in nothing except case, spaces and what else joins words."""
    values = [str(ast.literal_eval(quoted)) for quoted in _EXPECTED.findall(expected)]
    same = [value for value in values if _plain(value) == _plain(found)]
    return same[0] if len(same) == 1 else None


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]+", "", word).casefold()


def _share(found: Any) -> float | None:
    """Reads a share of the whole that is written in percent."""
    number = float(found)
    return number / 100 if number <= 100 else None


def _percent(text: str) -> float | None:
    try:
        return float(text) / 100
    except ValueError:
        return None
