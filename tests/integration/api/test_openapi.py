"""The documentation as the running application serves it."""

from __future__ import annotations

import httpx
import pytest


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_the_documentation_is_served(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 200
