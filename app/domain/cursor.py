"""Cursors: the position of a reader of pages, as an opaque text. Only this API can read it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.errors import InvalidRequest

# A time that this API has put into a cursor is one of a database server's clock, or the epoch. A reader adds to it and
# subtracts from it, so both ends of the range of dates are a year and more away.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def encode_cursor(parts: Sequence[str | datetime]) -> str:
    """Encodes the parts. Times are kept to the millisecond, as the database stores them."""
    plain = [round(part.timestamp() * 1000) if isinstance(part, datetime) else part for part in parts]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type[str] | type[datetime]) -> list[Any]:
    """Decodes the parts, one of each kind, times in UTC. Raises InvalidRequest if `encode_cursor` did not make it."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        plain = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        return [_part(part, kind) for part, kind in zip(plain, kinds, strict=True)]
    # Any text may come in: nested brackets exhaust the stack of the JSON parser, great numbers the range of dates, and
    # half a surrogate pair is no text that can be searched for.
    except (ValueError, TypeError, OverflowError, OSError, RecursionError, binascii.Error) as error:
        message = "must be the cursor of an earlier answer, unchanged"
        raise InvalidRequest("The cursor is not one of this API.", fields=[("cursor", message)]) from error


def _part(part: object, kind: type[str] | type[datetime]) -> str | datetime:
    if kind is str and isinstance(part, str):
        part.encode()  # raises UnicodeEncodeError
        return part
    if kind is datetime and isinstance(part, int) and not isinstance(part, bool):
        moment = datetime.fromtimestamp(part / 1000, tz=UTC)
        if _EARLIEST <= moment <= _LATEST:
            return moment
    raise ValueError("another kind of part, or a time that no clock shows")
