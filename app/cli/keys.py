"""`keys create`, `keys list`, `keys revoke`: API keys, created in the database itself, without the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr

from app.cli.embedded.state import DEFAULT_FOLDER, StateFolder
from app.cli.failure import ExitCode
from app.cli.invocation import pasteable
from app.cli.json_output import print_json
from app.cli.target import NoStack, state_option
from app.domain.api_key import KeyLimits
from app.domain.identity import DEFAULT_TENANT, Role, Tenant

if TYPE_CHECKING:
    from app.services.keys import KeyService
    from app.settings import StoreSettings

app = typer.Typer(help="Create, list and revoke API keys (needs the database: MONGO_URI, or the local stack).")

T = TypeVar("T")
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="Folder of the local stack.", show_default=".agent-orchestrator"),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what will use the key.")],
    role: Annotated[Role, typer.Option(help="What the key may do.")] = Role.CLIENT,
    tenant: Annotated[str, typer.Option(help="Whose tasks it sees.")] = DEFAULT_TENANT,
    weight: Annotated[float | None, typer.Option(help="The tenant's part against others, 1 by default.")] = None,
    max_running: Annotated[int | None, typer.Option(help="Most tasks of the tenant with workers at once.")] = None,
    max_queued: Annotated[int | None, typer.Option(help="Most queued tasks of the tenant.")] = None,
    as_json: AsJson = False,
    state: State = None,
) -> None:
    """Create a key and print it, this once only. Its limits apply to its whole tenant."""
    limits = KeyLimits(weight=weight, max_running=max_running, max_queued=max_queued)
    created = _run(state, lambda keys: keys.create(name=name, tenant=Tenant(tenant), role=role, limits=limits))
    if as_json:
        print_json({**asdict(created.key), "secret": created.secret})
        return
    typer.echo(f"Key {created.key.id} for {name} ({role.value}, tenant {tenant}). It is not shown again:", err=True)
    typer.echo(created.secret)


@app.command("list")
def list_keys(as_json: AsJson = False, state: State = None) -> None:
    """List all keys; the secrets themselves are not stored."""
    found = _run(state, lambda keys: keys.list_all())
    if as_json:
        print_json({"items": [asdict(key) for key in found]})
        return
    if not found:
        typer.echo(f"No keys. Create one with: {pasteable(f'keys create NAME{state_option(state)}')}")
        return
    # Imported here, as everywhere in the commands: --help and --json need not wait for rich.
    from rich.table import Column, Table

    from app.cli.console import open_console

    limits = Column("limits", no_wrap=True)
    table = Table(Column("id", no_wrap=True), "name", "role", "tenant", limits, "created", "ends", "revoked")
    for key in found:
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d}"
        created = f"{key.created_at:%Y-%m-%d}"
        ends = "" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}"
        table.add_row(key.id, key.name, key.role.value, key.tenant, _shown(key.limits), created, ends, revoked)
    open_console().print(table)


def _shown(limits: KeyLimits) -> str:
    named = (("weight", limits.weight), ("running", limits.max_running), ("queued", limits.max_queued))
    return "\n".join(f"{name} {value:g}" for name, value in named if value is not None)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")],
    as_json: AsJson = False,
    state: State = None,
) -> None:
    """Revoke a key; requests with it are refused within ten seconds."""
    if not _run(state, lambda keys: keys.revoke(key_id)):
        typer.echo(f"There is no key {key_id}; list all with: {pasteable(f'keys list{state_option(state)}')}", err=True)
        raise typer.Exit(ExitCode.REFUSED)
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        typer.echo(f"Key {key_id} is revoked.")


def _run(state: Path | None, action: Callable[[KeyService], Awaitable[T]]) -> T:
    async def act() -> T:
        async with _service(state) as keys:
            return await action(keys)

    return asyncio.run(act())


@asynccontextmanager
async def _service(state: Path | None) -> AsyncIterator[KeyService]:
    from app.services.keys import KeyService
    from app.storage.api_keys import MongoApiKeyRepository
    from app.storage.mongo import connect, database
    from app.system_clock import SystemClock

    settings = _store_settings(state)
    typer.echo(_describe(settings), err=True)
    client = connect(settings)
    try:
        yield KeyService(MongoApiKeyRepository(database(client, settings)), SystemClock())
    finally:
        client.close()


def _store_settings(state: Path | None) -> StoreSettings:
    """Returns the database of the stack in the folder `state`, else that of MONGO_URI, else that of the usual folder.

    Raises NoStack if a folder is named in which no stack runs.
    """
    from app.settings import load_settings

    settings = load_settings().store
    if state is None and "uri" in settings.model_fields_set:
        return settings
    status = StateFolder((state or DEFAULT_FOLDER).absolute()).read_status()
    if status is None and state is not None:
        start = pasteable(f"up{state_option(state)}")
        raise NoStack(f"No stack runs in {state}; start one with: {start}, or leave out --state and set MONGO_URI")
    embedded = [process.url for process in status.processes if process.kind == "mongo"] if status else []
    return settings.model_copy(update={"uri": SecretStr(embedded[0])}) if embedded else settings


def _describe(settings: StoreSettings) -> str:
    """Names the database and its hosts, without the user and the password."""
    hosts = urlsplit(settings.uri.get_secret_value()).netloc.rpartition("@")[2]
    return f"Database: {settings.database} at {hosts}"
