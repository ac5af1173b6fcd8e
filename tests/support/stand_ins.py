"""Stand-ins for foreign programs in tests of scripts that run on a server: shell scripts that record their calls."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# A hang. One script creates a virtual environment, which takes 40 s on a busy machine. After 300 s pytest would end the
# test without the name of the script.
LONGEST_SECONDS = 150

STAND_IN = """#!/bin/sh
# Records its arguments and its standard input, then runs the commands that the test has prepared for it.
echo "$(basename "$0") $*" >>"$TEST_CALLS"
case "$*" in *"--values -"*) cat >"$TEST_INPUT" ;; esac
answer="$TEST_ANSWERS/$(basename "$0")-$1"
[ -r "$answer" ] || answer="$TEST_ANSWERS/$(basename "$0")"
[ ! -r "$answer" ] || . "$answer"
"""


@dataclass
class Machine:
    """A server's file system below `root`, and its stand-ins. `folder` must exist and be empty at first."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("root", "bin", "answers"):
            (self.folder / name).mkdir()

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def stand_in(self, path: Path | str, script: str = STAND_IN) -> None:
        """Installs a stand-in at a full path, or under a name that PATH finds."""
        program = self.folder / "bin" / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(script)
        program.chmod(0o755)

    def answer(self, program: str, commands: str) -> None:
        """Prepares shell commands for a program, or for a program and its first argument (`helm-status`)."""
        (self.folder / "answers" / program).write_text(commands)

    def run(self, command: Sequence[str], **settings: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "calls").write_text("")
        return subprocess.run(  # noqa: S603  a script of this repository
            command,
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "AGENT_ROOT": str(self.root),
                "TEST_CALLS": str(self.folder / "calls"),
                "TEST_INPUT": str(self.folder / "input"),
                "TEST_ANSWERS": str(self.folder / "answers"),
                **settings,
            },
            capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False,
        )  # fmt: skip

    @property
    def calls(self) -> list[str]:
        """Returns the calls of the last run in order."""
        return (self.folder / "calls").read_text().splitlines()
