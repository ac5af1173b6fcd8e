"""The API that a command uses: the one asked for, or the one of a local stack."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.cli.embedded.state import DEFAULT_FOLDER, StateFolder
from app.cli.failure import CommandFailed, CommandRefused, ExitCode
from app.cli.invocation import pasteable

DEFAULT_API = "http://127.0.0.1:8080"
API_KEY_VARIABLE = "AGENT_ORCHESTRATOR_API_KEY"


class NoStack(CommandFailed):
    """The state folder that was asked for has no running stack."""

    exit_code = ExitCode.UNREACHABLE


@dataclass(frozen=True)
class Target:
    """The address of an API. `options` are those that lead another command to the same one, ready to be pasted.

    `simulated` names the providers that the simulator replaces, as far as a local stack tells.
    """

    url: str
    options: str = ""
    simulated: Sequence[str] = ()

    def hint(self, command: str) -> str:
        """Writes a command line that works as it is."""
        return pasteable(f"{command}{self.options}")


def find_target(api: str | None, state: Path | None) -> Target:
    """Finds the API: `api`, else that of the stack in the folder `state`, else that of the usual folder or address.

    Raises CommandRefused if `api` is no address, NoStack if a folder is named in which no stack runs: another stack
    must not get the task instead.
    """
    if api is not None:
        return Target(_checked(api), f" --api {shlex.quote(api)}")
    status = StateFolder((state or DEFAULT_FOLDER).absolute()).read_status()
    if status is not None:
        return Target(status.api_url, state_option(state), tuple(status.simulated))
    if state is not None:
        start = pasteable(f"up{state_option(state)}")
        raise NoStack(f"No stack runs in {state}; start one with: {start}, or name another API with --api")
    return Target(DEFAULT_API)


def state_option(state: Path | None) -> str:
    return "" if state is None else f" --state {shlex.quote(str(state))}"


def _checked(api: str) -> str:
    try:
        address = urlsplit(api)
        usable = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise CommandRefused(f"--api {api} is no address; it needs http:// or https://, such as {DEFAULT_API}")
    return api.rstrip("/")
