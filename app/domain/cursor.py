"""Cursors: where a reader of pages stands, as a text that says nothing to anybody but us."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.errors import InvalidRequest


def encode_cursor(parts: Sequence[str | datetime]) -> str:
    """Times are kept to the millisecond."""
    plain = [round(part.timestamp() * 1000) if isinstance(part, datetime) else part for part in parts]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type[str] | type[datetime]) -> list[Any]:
    """The parts, one of each kind, times in UTC. Raises InvalidRequest for what `encode_cursor` did not make."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        plain = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        return [_part(part, kind) for part, kind in zip(plain, kinds, strict=True)]
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        message = "must be the cursor of an earlier answer, unchanged"
        raise InvalidRequest("The cursor is not one of ours.", fields=[("cursor", message)]) from error


def _part(part: object, kind: type[str] | type[datetime]) -> str | datetime:
    if kind is str and isinstance(part, str):
        return part
    if kind is datetime and isinstance(part, int):
        return datetime.fromtimestamp(part / 1000, tz=UTC)
    raise ValueError("another kind of part")
