"""Answers for programs."""

from __future__ import annotations

import json
import sys
from datetime import datetime


def print_json(document: object) -> None:
    """Prints the document as JSON, with times as in the REST API."""
    sys.stdout.write(json.dumps(document, indent=2, default=_time) + "\n")


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"no JSON for {type(value).__name__}")
