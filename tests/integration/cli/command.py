"""The real command in a folder of its own, without the settings of the developer who runs the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.settings import GROUPS
from tests.support.servers import free_port

COMMAND = str(Path(sys.executable).with_name("agent-orchestrator"))
TIMEOUT_SECONDS = 120


def clean_environment() -> dict[str, str]:
    """Returns the environment without settings of the product, of AWS and of proxies."""
    ours = {str(item.validation_alias) for group in GROUPS.values() for item in group.model_fields.values()}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith("AWS_") and not name.lower().endswith("_proxy")
    }


@dataclass
class Shell:
    """A working directory for commands; `settings` are added to the clean environment.

    Its stack has a port of this test process: several at once would all find that 8080 is free, and only one gets it.
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def environment(self) -> dict[str, str]:
        return {**clean_environment(), "AGENT_API_PORT": str(self.port), **self.settings}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def ok(self, *arguments: str) -> str:
        """Runs a command that has to succeed, and returns its standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Runs the command beside the test; its output goes to `output` in the folder."""
        with (self.folder / "output").open("wb") as output:
            return subprocess.Popen(  # noqa: S603 - our own command
                [COMMAND, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start_on(self, terminal: int, *arguments: str) -> subprocess.Popen[bytes]:
        """Runs the command with its output on a terminal, given by its file descriptor."""
        return subprocess.Popen(  # noqa: S603 - our own command
            [COMMAND, *arguments], cwd=self.folder, env=self.environment, stdout=terminal, stderr=terminal
        )

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def processes(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.json("status")["processes"]
        return found


@contextmanager
def stack_up(shell: Shell) -> Iterator[Shell]:
    try:
        shell.ok("up", "--detach")
        yield shell
    finally:
        shell.ok("down")
