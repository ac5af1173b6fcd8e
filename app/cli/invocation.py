"""The command line as its user called it, for hints that can be pasted.

A hint that begins with a name that the user's shell does not find is of no use: `make up` calls a program in
`.venv/bin`, which is not on the PATH.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

_MODULE = Path(__file__).with_name("__main__.py")


def pasteable(command: str) -> str:
    """Writes a command of this program, such as `keys list`, so that it works when it is pasted."""
    return f"{_program()} {command}"


def _program() -> str:
    called = sys.argv[0]
    if Path(called) == _MODULE:
        return f"{shlex.quote(sys.orig_argv[0])} -m app.cli"
    # The kernel hands a script over with its whole path also if the shell has found it on the PATH.
    name = Path(called).name
    return shlex.quote(name if shutil.which(name) == called else called)
