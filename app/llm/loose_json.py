"""JSON objects as models write them: with slips that leave one meaning, for which no other answer has to be paid.

Read are raw line breaks and tabs in strings, commas before a closing bracket, comments, `True`, `False` and `None`,
strings in single quotes, `\\'` in a string, and keys without quotes. Everything else stays an error: a quote within a
string of the same quotes, a missing comma, an object that does not end.

No library does just this. json-repair completes what is cut off and guesses where a string ends, so it makes an object
of almost every text, and half an answer would count as a whole one. json5 knows neither raw line breaks nor Python's
words, does not stop at the end of an object, and is by its own account thousands of times slower than `json`. So the
slips are rewritten token by token, and `json` decides on the result. Well-formed JSON never comes to that.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder(strict=False)
_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)"
    r"|(?P<string>\"[^\"\\]*(?:\\.[^\"\\]*)*\"|'[^'\\]*(?:\\.[^'\\]*)*')"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<number>-?\d[\d.eE+-]*)"
    r"|(?P<sign>[{}\[\],:])",
    re.DOTALL,
)
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
_WORDS = frozenset(_PYTHON_WORDS.values())
_ESCAPES = re.compile(r"\\.|\"", re.DOTALL)
_OPENING, _CLOSING = ("{", "["), ("}", "]")


class ReadObject(NamedTuple):
    """An object, None if there is none, the place after it, and whether it has no slips.

    The place after a broken object is where it ends or can be read no further: objects before that are parts of it.
    """

    value: dict[str, Any] | None
    end: int
    well_formed: bool


def read_object(text: str, at: int = 0) -> ReadObject:
    """Reads the object that begins at `at`."""
    well_formed = True
    try:
        value, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        well_formed = False
        value, end = _read_loosely(text, at)
    return ReadObject(value if isinstance(value, dict) else None, end, well_formed)


def _read_loosely(text: str, at: int) -> tuple[Any, int]:
    tokens, end = _rewrite(text, at)
    try:
        return _DECODER.decode(" ".join(tokens)), end
    except (ValueError, RecursionError):
        return None, end if tokens[2:3] == [":"] else at + 1


def _rewrite(text: str, at: int) -> tuple[list[str], int]:
    """Rewrites an object as tokens of JSON, as far as it can be read. Returns them and the place after the last one.

    An object begins with its bracket, a key and a colon. A text that does not is left after its third token.
    """
    tokens: list[str] = []
    depth = 0
    while token := _TOKEN.match(text, at):
        at = token.end()
        if token.lastgroup == "space":
            continue
        _add(tokens, token)
        depth += (token[0] in _OPENING) - (token[0] in _CLOSING)
        begins_as_object = tokens[2:3] in ([], [":"])
        if depth <= 0 or not begins_as_object:
            break
    return tokens, at


def _add(tokens: list[str], token: re.Match[str]) -> None:
    if token[0] in _CLOSING and tokens[-1:] == [","] and tokens[-2] not in (",", *_OPENING):
        tokens.pop()
    if token[0] == ":" and tokens and tokens[-1].isidentifier() and tokens[-1] not in _WORDS:
        tokens[-1] = f'"{tokens[-1]}"'
    tokens.append(_to_json(token))


def _to_json(token: re.Match[str]) -> str:
    if token.lastgroup == "string":
        return f'"{_ESCAPES.sub(_to_escape, token[0][1:-1])}"'
    return _PYTHON_WORDS.get(token[0], token[0])


def _to_escape(found: re.Match[str]) -> str:
    return {"\\'": "'", '"': '\\"'}.get(found[0], found[0])
