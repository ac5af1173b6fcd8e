"""The provider's list of models: whether address and key are right, which models there are, and when they end.

A fault names the setting that is probably wrong.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from app.llm.faults import FaultKind, ProviderFault
from app.llm.providers.endpoints import Connection
from app.llm.refusal_kinds import classify
from app.llm.vendor_error import describe, read_error

_TRUST = "SSL_CERT_FILE"
_PROXY = "HTTPS_PROXY"


async def read_models(connection: Connection, *, client: httpx.AsyncClient) -> Mapping[str, datetime | None]:
    """Reads the models by id, each with the date on which it ends (None: not published). Raises ProviderFault.

    There are none if the server has no list, but answers calls.
    """
    if wrong := connection.key.problem:
        raise ProviderFault(FaultKind.AUTH, wrong)
    try:
        response = await client.get(
            connection.url + connection.endpoint.models_path, headers=connection.headers(connection.key.current())
        )
        refusal = _refusal(response, connection)
        if refusal is None:
            return _to_models(response, connection)
        if refusal.kind is FaultKind.WRONG_ENDPOINT and await _answers_calls(connection, client=client):
            return {}
        raise refusal
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _without_answer(error, connection) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ProviderFault(FaultKind.BROKEN_ANSWER, type(error).__name__) from None


def _to_models(response: httpx.Response, connection: Connection) -> Mapping[str, datetime | None]:
    shutdown_field = connection.endpoint.shutdown_field
    return {str(model["id"]): _to_moment(model.get(shutdown_field)) for model in response.json()["data"]}


async def _answers_calls(connection: Connection, *, client: httpx.AsyncClient) -> bool:
    """Checks with an empty call, which no model can answer, whether the path of calls exists. Raises ProviderFault.

    Many servers that imitate a provider have no list of models.
    """
    response = await client.post(
        connection.url + connection.endpoint.call_path, headers=connection.headers(connection.key.current()), json={}
    )
    refusal = _refusal(response, connection)
    if refusal is not None and response.status_code == httpx.codes.UNAUTHORIZED:
        raise refusal
    # A 403 may come from any server that accepts no POST.
    return refusal is None or refusal.kind not in (FaultKind.WRONG_ENDPOINT, FaultKind.AUTH)


def _without_answer(error: Exception, connection: Connection) -> ProviderFault:
    """Classifies a failure below HTTP."""
    name = type(error).__name__
    untrusted = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        # As for a call: nobody replaces a wrong certificate while a task waits.
        return ProviderFault(FaultKind.WRONG_ENDPOINT, _doubting(f"{name}: {untrusted.verify_message}", _TRUST))
    if isinstance(error, httpx.ProxyError):
        return ProviderFault(FaultKind.UNREACHABLE, _doubting(name, _PROXY))
    # The provider's own address is right.
    said = _doubting(name, connection.address_variable) if connection.base_url else name
    return ProviderFault(FaultKind.UNREACHABLE, said)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _refusal(response: httpx.Response, connection: Connection) -> ProviderFault | None:
    """Reads why the server refused; None if it did not."""
    status = response.status_code
    if status == httpx.codes.OK and "html" not in response.headers.get("Content-Type", ""):
        return None
    try:
        body = response.json()
    except ValueError:
        body = response.text if "html" in response.headers.get("Content-Type", "") else None
    key = connection.key.current()
    error = read_error(body, status=status, headers=response.headers)
    kind = FaultKind.WRONG_ENDPOINT if status < 400 else classify(error)
    said = describe(error, prompt=(), secrets=(key,) if key else ()) or str(status)
    if kind is FaultKind.WRONG_ENDPOINT:
        said = _doubting(said, connection.address_variable)
    elif kind is FaultKind.AUTH:
        said = _doubting(said, connection.key.setting) if key else f"{said} (set {connection.key.setting})"
    return ProviderFault(kind, said)


def _doubting(said: str, setting: str) -> str:
    return f"{said} (is {setting} right?)"


def _to_moment(value: Any) -> datetime | None:
    if not value:
        return None
    moment = datetime.fromisoformat(value)  # a date alone, too: it counts as midnight UTC
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
