"""The file `.env`: what in it nobody will read is told, instead of being left out in silence."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path

from dotenv.parser import parse_stream

ENV_FILE = ".env"
# Nearer than any two settings are to each other, so that a variable of another program is not taken for a mistake.
_NEAR = 0.85


def problems_of_file(path: Path) -> list[str]:
    """Lists what makes the file unreadable, with the line. No file has no problem."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        return [f"{path}: is not in UTF-8; save it in that encoding"]
    return [
        f"{path}, line {one.original.line}: is no NAME=value, or a quote is not closed" for one in bindings if one.error
    ]


def near_misses(path: Path, known: Collection[str]) -> list[tuple[str, str]]:
    """Lists the names in the file that no setting has, each with the setting that it is like."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            names = [binding.key for binding in parse_stream(stream) if binding.key is not None]
    except (FileNotFoundError, UnicodeDecodeError):
        return []
    unknown = [name for name in names if name not in known]
    likely = [(name, difflib.get_close_matches(name.upper(), known, n=1, cutoff=_NEAR)) for name in unknown]
    return [(name, found[0]) for name, found in likely if found]
