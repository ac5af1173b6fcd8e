"""The dates on which models end, read from the provider's list of models by plain HTTP.

No SDK is imported for it: that takes some 40 MB and a second of CPU, too much for a provider that is only a fallback.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from app.llm.faults import FaultKind, ProviderFault, classify, describe
from app.llm.providers.endpoints import NO_KEY, Connection


async def read_shutdown_dates(connection: Connection, *, client: httpx.AsyncClient) -> Mapping[str, datetime]:
    """Reads the dates by the model's id. Raises ProviderFault."""
    endpoint = connection.endpoint
    url = connection.url.rstrip("/") + endpoint.models_path
    headers = {**endpoint.models_headers, **endpoint.to_key_header(connection.key.current() or NO_KEY)}
    try:
        response = await client.get(url, headers=headers)
        if response.status_code != httpx.codes.OK:
            status = response.status_code
            raise ProviderFault(classify(status, codes=()), describe(status, ()))
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
