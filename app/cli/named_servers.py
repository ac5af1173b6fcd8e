"""The servers that the settings name, asked once before `up` starts anything that needs them.

Without this check a wrong address would show after a minute, in the logs of the processes, or not at all: API and
workers start without Redis, because a Redis that is down comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator

from app.cli.failure import CommandFailed, ExitCode
from app.errors import (
    AgentOrchestratorError,
    BrokerUnsuitable,
    DependencyError,
    StoreError,
    StoreUnsuitable,
)
from app.server_check import broker_urls, check_broker, check_store
from app.settings import Settings

# The causes of failed connections in words of our own: a server's words may quote what was sent to it.
_CAUSES = {
    "certificate verify failed": (
        "its certificate is not trusted, or names another host (SSL_CERT_FILE names the file of your own authority)"
    ),
    "_ssl.c": "it does not speak TLS as the address asks for",
    "connection refused": "nothing listens at this address",
    "connect call failed": "nothing listens at this address",
    "name or service not known": "its host name is unknown",
    "nodename nor servname": "its host name is unknown",
    "name resolution": "its host name cannot be resolved",
    "authentication": "it refuses the user or the password",
    "username-password": "it refuses the user or the password",
}


class ServerUnreachable(CommandFailed):
    """A server that the settings name and that does not answer, or refuses."""

    exit_code = ExitCode.UNREACHABLE


def require_named_servers(settings: Settings, *, store: bool, broker: bool) -> None:
    """Asks the servers that the settings name. Raises ServerUnreachable, which names each variable.

    `store` and `broker` are those that are not embedded; a Redis for the tickets alone never is.
    """
    checks: dict[str, Coroutine[None, None, None]] = {"MONGO_URI": check_store(settings.store)} if store else {}
    named = {name: url for name, url in broker_urls(settings.broker).items() if broker or name != "REDIS_URL"}
    checks |= {name: check_broker(url) for name, url in named.items()}
    problems = asyncio.run(_ask(checks))
    if problems:
        raise ServerUnreachable("\n".join([*problems, "Nothing was started."]))


async def _ask(checks: dict[str, Coroutine[None, None, None]]) -> list[str]:
    answers = await asyncio.gather(*checks.values(), return_exceptions=True)
    problems = []
    for variable, failure in zip(checks, answers, strict=True):
        if isinstance(failure, DependencyError | StoreError):
            problems.append(f"{variable}: {_describe(failure)}")
        elif failure is not None:
            raise failure
    return problems


def _describe(failure: AgentOrchestratorError) -> str:
    if isinstance(failure, BrokerUnsuitable | StoreUnsuitable):
        return failure.message
    texts = " ".join(str(error) for error in _chain(failure)).lower()
    cause = next((cause for sign, cause in _CAUSES.items() if sign in texts), None)
    return failure.message if cause is None else f"no connection to the server: {cause}."


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
