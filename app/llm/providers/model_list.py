"""The dates on which models end, read from the provider's list of models."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from app.llm.faults import FaultKind, ProviderFault, classify, describe
from app.llm.providers.endpoints import Connection
from app.llm.vendor_error import VendorError


async def read_shutdown_dates(connection: Connection, *, client: httpx.AsyncClient) -> Mapping[str, datetime]:
    """Reads the dates by the model's id. Raises ProviderFault."""
    endpoint = connection.endpoint
    url = connection.url + endpoint.models_path
    try:
        response = await client.get(url, headers=connection.headers(connection.key.current()))
        if response.status_code != httpx.codes.OK:
            error = VendorError(status=response.status_code)
            raise ProviderFault(classify(error), describe(error, prompt=()))
        return {
            model["id"]: _to_moment(model[endpoint.shutdown_field])
            for model in response.json()["data"]
            if model.get(endpoint.shutdown_field)
        }
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderFault(FaultKind.UNREACHABLE, type(error).__name__) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ProviderFault(FaultKind.BROKEN_ANSWER, type(error).__name__) from None


def _to_moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)  # a date alone, too: it counts as midnight UTC
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
