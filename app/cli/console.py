"""The console that commands print to.

Only a terminal has a width. Output that goes into a file or another program is never wrapped or cut: a line of code
that is broken in two no longer compiles.
"""

from __future__ import annotations

import sys

from rich.console import Console

_UNLIMITED_COLUMNS = 100_000


def open_console() -> Console:
    """Opens standard output: with the terminal's width, or with none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _UNLIMITED_COLUMNS)


def has_width(console: Console) -> bool:
    """Checks whether lines must fit into a terminal."""
    return console.width < _UNLIMITED_COLUMNS
