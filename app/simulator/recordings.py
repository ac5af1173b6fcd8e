"""Recorded responses: bytes that a real server has sent, served again for the next calls of a model.

Status, headers and body are served as they were recorded; nothing is read, mended or added. Only a call with a good
credential gets one. Several recordings of a model are served one after the other, in the order of their arrival.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from app.simulator.prompt import Json

_FIELDS = frozenset({"model", "status", "headers", "body", "pieces", "pause_ms", "times"})
_STATUSES = range(200, 600)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass
class Recording:
    """One response of a model. Its pieces are written one by one, `pause_ms` apart. `times` None: until cleared."""

    model: str
    pieces: tuple[bytes, ...]
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    pause_ms: int = 0
    times: int | None = None

    def describe(self) -> Json:
        """Builds the entry of the list of recordings, without the body."""
        return {
            "model": self.model,
            "status": self.status,
            "times": self.times,
            "pieces": len(self.pieces),
            "bytes": sum(map(len, self.pieces)),
        }


@dataclass
class Recordings:
    """The recordings that are still to be served."""

    waiting: list[Recording] = field(default_factory=list)

    def take(self, model: str) -> Recording | None:
        """Returns the recording for the next call of the model, and counts it; None if there is none."""
        recording = next((one for one in self.waiting if one.model == model), None)
        if recording is not None and recording.times is not None:
            recording.times -= 1
            if not recording.times:
                self.waiting.remove(recording)
        return recording


def parse_recording(wish: Json) -> Recording:
    """Parses a recording. Raises ValueError, KeyError, TypeError or AttributeError if it makes no sense."""
    unknown = sorted(set(wish) - _FIELDS)
    if unknown:
        raise ValueError(f"unknown fields {unknown}")
    if ("body" in wish) == ("pieces" in wish):
        raise ValueError("give either body or pieces")
    pieces = wish["pieces"] if "pieces" in wish else [wish["body"]]
    if not isinstance(pieces, list):
        raise TypeError("pieces is not a list")
    return Recording(
        model=_model(wish["model"]),
        pieces=tuple(_bytes(piece) for piece in pieces),
        status=_status(wish.get("status", 200)),
        headers=tuple(_header(name, value) for name, value in wish.get("headers", {}).items()),
        pause_ms=_count("pause_ms", wish.get("pause_ms", 0), least=0),
        times=None if wish.get("times") is None else _count("times", wish["times"], least=1),
    )


def _model(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError("model is no name")
    return name


def _bytes(piece: object) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, dict) and set(piece) == {"base64"}:
        return base64.b64decode(piece["base64"], validate=True)
    raise ValueError('a piece is neither a text nor {"base64": …}')


def _status(status: object) -> int:
    if type(status) is not int or status not in _STATUSES:  # a bool is an int for isinstance
        raise ValueError(f"status is not from {_STATUSES[0]} to {_STATUSES[-1]}")
    return status


def _header(name: str, value: object) -> tuple[bytes, bytes]:
    if not isinstance(value, str) or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"{name!r} is no header")
    return name.lower().encode("ascii"), value.encode("latin-1")  # ASGI wants names in lower case


def _count(field_name: str, value: object, *, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{field_name} is not a whole number from {least}")
    return value
