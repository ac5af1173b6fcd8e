"""Filter patterns of CloudWatch Logs, limited to the syntax of our metric filters: `{ $.field = value && … || … }`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TERM = re.compile(
    r'\$\.(?P<field>\w+)\s+(?:(?P<absent>NOT EXISTS)|(?P<operator>=|>=)\s+(?:"(?P<text>[^"]*)"|(?P<number>\d+)))'
)


def matches(pattern: str, line: Mapping[str, Any]) -> bool:
    """Returns True if the line matches. `&&` binds closer than `||`. Raises ValueError for other syntax."""
    inner = re.fullmatch(r"\{ (.*) \}", pattern)
    if inner is None:
        raise ValueError(pattern)
    return any(all(_holds(term, line) for term in terms.split(" && ")) for terms in inner[1].split(" || "))


def _holds(term: str, line: Mapping[str, Any]) -> bool:
    found = _TERM.fullmatch(term)
    if found is None:
        raise ValueError(term)
    value = line.get(found["field"])
    if found["absent"]:
        return found["field"] not in line
    if found["text"] is not None:
        return bool(value == found["text"]) if found["operator"] == "=" else False
    if not isinstance(value, int | float):
        return False
    return value >= int(found["number"]) if found["operator"] == ">=" else value == int(found["number"])
