"""The file `.env`: its faults, and names in it that nobody reads."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path

from dotenv.parser import Binding, parse_stream

ENV_FILE = ".env"
# So near that a variable of another program is hardly taken for a mistake.
_NEAR = 0.85


def problems_of_file(path: Path) -> list[str]:
    """Lists what makes the file unreadable, with the line. No file has no problem."""
    try:
        bindings = _parse(path)
    except UnicodeDecodeError:
        return [f"{path}: is not in UTF-8; save it in that encoding"]
    except OSError as error:
        return [f"{path}: cannot be read ({error.strerror})"]
    return [
        f"{path}, line {one.original.line}: is no NAME=value, or a quote is not closed" for one in bindings if one.error
    ]


def near_misses(path: Path, known: Collection[str]) -> list[tuple[str, str]]:
    """Lists the names in the file that no setting has, each with the setting that it is like.

    Upper and lower case are the same. A file that cannot be read has no names.
    """
    try:
        names = [binding.key for binding in _parse(path) if binding.key is not None]
    except (OSError, UnicodeDecodeError):
        return []
    unknown = [name for name in names if name.upper() not in known]
    likely = [(name, difflib.get_close_matches(name.upper(), known, n=1, cutoff=_NEAR)) for name in unknown]
    return [(name, found[0]) for name, found in likely if found]


def _parse(path: Path) -> list[Binding]:
    """Parses the file. Without one there is nothing to parse."""
    if not path.is_file():  # a folder of that name is somebody's virtual environment
        return []
    with path.open(encoding="utf-8-sig") as stream:
        return list(parse_stream(stream))
