"""The lists of models in the answers of providers, and what is wrong with an answer that is no list."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from app.llm.faults import FaultKind, ProviderFault
from app.llm.provider_table import PROVIDERS, Provider
from app.llm.providers.endpoints import Connection
from app.llm.providers.model_list import read_models
from app.outbound.provider_key import ProviderKey
from app.telemetry.metrics import WorkerMetrics


async def _read(
    provider: Provider,
    answer: httpx.Response | Exception,
    *,
    to_call: httpx.Response | None = None,
    key: str | None = "sk-1",
    base_url: str | None = "http://provider/",
) -> tuple[dict[str, datetime | None], httpx.Request]:
    """Reads the list of a server that answers with `answer`, to an empty call with `to_call` if that is given."""
    asked: list[httpx.Request] = []

    def give(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return to_call if to_call is not None and request.method == "POST" else answer

    metrics = WorkerMetrics(version="0").outbound
    secret = None if key is None else SecretStr(key)
    provider_key = ProviderKey("openai", value=secret, path=None, metrics=metrics)
    async with httpx.AsyncClient(transport=httpx.MockTransport(give)) as client:
        connection = Connection(PROVIDERS[provider].endpoint, provider_key, base_url, "OPENAI_BASE_URL")
        dates = await read_models(connection, client=client)
    return dict(dates), asked[-1]


def _untrusted() -> httpx.ConnectError:
    """Builds the error of the client for a certificate that is not trusted: two libraries wrap that of `ssl`."""
    reason = ssl.SSLCertVerificationError(1, "certificate verify failed")
    reason.verify_message = "self-signed certificate"
    wrapped = OSError()
    wrapped.__cause__ = reason
    error = httpx.ConnectError("no")
    error.__cause__ = wrapped
    return error


async def test_dates_are_read_as_each_provider_names_them() -> None:
    models = [{"id": "old", "shutdown_date": "2027-01-14"}, {"id": "new", "shutdown_date": None}, {"id": "newer"}]
    dates, request = await _read(Provider.OPENAI, httpx.Response(200, json={"data": models}))
    assert dates == {"old": datetime(2027, 1, 14, tzinfo=UTC), "new": None, "newer": None}
    assert (str(request.url), request.headers["Authorization"]) == ("http://provider/models", "Bearer sk-1")
    models = [{"id": "old", "retires_at": "2027-01-14T12:00:00Z"}]
    dates, request = await _read(Provider.ANTHROPIC, httpx.Response(200, json={"data": models}))
    assert dates == {"old": datetime(2027, 1, 14, 12, tzinfo=UTC)}
    assert request.url.path == "/v1/models"
    assert request.headers["Authorization"] == "Bearer sk-1"
    assert "anthropic-version" in request.headers


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(401, json={}), FaultKind.AUTH),
        (httpx.Response(503, text="busy"), FaultKind.SERVER),
        (httpx.Response(302, headers={"Location": "http://elsewhere/"}), FaultKind.WRONG_ENDPOINT),
        (httpx.Response(200, text="<html>"), FaultKind.BROKEN_ANSWER),
        (httpx.Response(200, html="<html>"), FaultKind.WRONG_ENDPOINT),
        (httpx.Response(404, json={"detail": "Not Found"}), FaultKind.WRONG_ENDPOINT),
        (httpx.Response(200, json=[]), FaultKind.BROKEN_ANSWER),
        (httpx.Response(200, json={"data": [{"id": "old", "shutdown_date": "soon"}]}), FaultKind.BROKEN_ANSWER),
        (httpx.ConnectError("no"), FaultKind.UNREACHABLE),
        (httpx.ReadTimeout("slow"), FaultKind.UNREACHABLE),
        (httpx.ProxyError("407"), FaultKind.UNREACHABLE),
        (_untrusted(), FaultKind.WRONG_ENDPOINT),
    ],
    ids=str,
)
async def test_what_is_no_list_is_a_fault(answer: httpx.Response | Exception, kind: FaultKind) -> None:
    with pytest.raises(ProviderFault) as caught:
        await _read(Provider.OPENAI, answer)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (httpx.Response(404, json={"detail": "Not Found"}), '404: "Not Found" (is OPENAI_BASE_URL right?)'),
        (httpx.Response(401), "401 (is OPENAI_API_KEY right?)"),
        (httpx.Response(401, html="<html>Sign in</html>"), "401 (is OPENAI_BASE_URL right?)"),
        (httpx.Response(403, html="<!doctype html>No"), "403 (is OPENAI_BASE_URL right?)"),
        (httpx.ConnectError("no"), "ConnectError (is OPENAI_BASE_URL right?)"),
        (httpx.ProxyError("407"), "ProxyError (is HTTPS_PROXY right?)"),
        (_untrusted(), "ConnectError: self-signed certificate (is SSL_CERT_FILE right?)"),
    ],
    ids=str,
)
async def test_a_fault_names_the_setting_to_correct(answer: httpx.Response | Exception, detail: str) -> None:
    with pytest.raises(ProviderFault) as caught:
        await _read(Provider.OPENAI, answer)
    assert caught.value.detail == detail


async def test_a_server_that_wants_a_key_names_the_variable_to_set() -> None:
    with pytest.raises(ProviderFault) as caught:
        await _read(Provider.OPENAI, httpx.Response(401), key=None)
    assert caught.value.detail == "401 (set OPENAI_API_KEY)"


async def test_the_providers_own_address_is_not_doubted() -> None:
    with pytest.raises(ProviderFault) as caught:
        await _read(Provider.OPENAI, httpx.ConnectError("no"), base_url=None)
    assert caught.value.detail == "ConnectError"


MISSING = httpx.Response(404, json={"detail": "Not Found"})


@pytest.mark.parametrize(
    ("provider", "path"), [(Provider.OPENAI, "/chat/completions"), (Provider.ANTHROPIC, "/v1/messages")]
)
async def test_a_server_without_a_list_is_one_that_answers_calls(provider: Provider, path: str) -> None:
    refused = httpx.Response(400, json={"error": {"message": "messages is missing"}})
    models, request = await _read(provider, MISSING, to_call=refused)
    assert models == {}
    assert (request.method, request.url.path, request.content) == ("POST", path, b"{}")


@pytest.mark.parametrize(
    ("to_call", "kind"),
    [
        (httpx.Response(401), FaultKind.AUTH),
        # As any web server may answer that knows nothing of models.
        (httpx.Response(403), FaultKind.WRONG_ENDPOINT),
        (httpx.Response(405), FaultKind.WRONG_ENDPOINT),
        (httpx.Response(200, html="<html>"), FaultKind.WRONG_ENDPOINT),
    ],
    ids=str,
)
async def test_a_server_that_answers_neither_is_a_wrong_address(to_call: httpx.Response, kind: FaultKind) -> None:
    with pytest.raises(ProviderFault) as caught:
        await _read(Provider.OPENAI, MISSING, to_call=to_call)
    assert caught.value.kind is kind
