"""The dates on which models end, in the answers of providers."""

from __future__ import annotations

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
    provider: Provider, answer: httpx.Response | Exception
) -> tuple[dict[str, datetime | None], httpx.Request]:
    asked: list[httpx.Request] = []

    def give(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    metrics = WorkerMetrics(version="0").outbound
    key = ProviderKey("openai", value=SecretStr("sk-1"), path=None, metrics=metrics)
    async with httpx.AsyncClient(transport=httpx.MockTransport(give)) as client:
        connection = Connection(PROVIDERS[provider].endpoint, key, "http://provider/", "OPENAI_BASE_URL")
        dates = await read_models(connection, client=client)
    return dict(dates), asked[0]


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
    ],
    ids=str,
)
async def test_what_is_no_list_is_a_fault(answer: httpx.Response | Exception, kind: FaultKind) -> None:
    with pytest.raises(ProviderFault) as caught:
        await _read(Provider.OPENAI, answer)
    assert caught.value.kind is kind


async def test_a_wrong_address_names_its_variable() -> None:
    with pytest.raises(ProviderFault) as caught:
        await _read(Provider.OPENAI, httpx.Response(404, json={"detail": "Not Found"}))
    assert caught.value.detail == '404: "Not Found" (is OPENAI_BASE_URL right?)'
