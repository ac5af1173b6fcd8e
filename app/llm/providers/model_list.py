"""The provider's list of models: whether address and key are right, which models there are, and when they end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from app.llm.faults import FaultKind, ProviderFault
from app.llm.providers.endpoints import Connection
from app.llm.refusal_kinds import classify
from app.llm.vendor_error import describe, read_error


async def read_models(connection: Connection, *, client: httpx.AsyncClient) -> Mapping[str, datetime | None]:
    """Reads the models by id, each with the date on which it ends (None: not published). Raises ProviderFault."""
    endpoint = connection.endpoint
    if wrong := connection.key.problem:
        raise ProviderFault(FaultKind.AUTH, wrong)
    try:
        response = await client.get(
            connection.url + endpoint.models_path, headers=connection.headers(connection.key.current())
        )
        if response.status_code != httpx.codes.OK or "html" in response.headers.get("Content-Type", ""):
            raise _refusal(response, connection)
        return {str(model["id"]): _to_moment(model.get(endpoint.shutdown_field)) for model in response.json()["data"]}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderFault(FaultKind.UNREACHABLE, type(error).__name__) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ProviderFault(FaultKind.BROKEN_ANSWER, type(error).__name__) from None


def _refusal(response: httpx.Response, connection: Connection) -> ProviderFault:
    status = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = None
    error = read_error(body, status=status, headers=response.headers)
    kind = FaultKind.WRONG_ENDPOINT if status < 400 else classify(error)
    key = connection.key.current()
    said = describe(error, prompt=(), secrets=(key,) if key else ()) or str(status)
    if kind is FaultKind.WRONG_ENDPOINT:
        said = f"{said} (is {connection.address_variable} right?)"
    return ProviderFault(kind, said)


def _to_moment(value: Any) -> datetime | None:
    if not value:
        return None
    moment = datetime.fromisoformat(value)  # a date alone, too: it counts as midnight UTC
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
