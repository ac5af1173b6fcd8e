"""The documentation as the running application serves it."""

from __future__ import annotations

import re

import httpx
import pytest


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_the_documentation_is_served(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 200


async def test_the_page_loads_nothing_from_another_host(api: httpx.AsyncClient) -> None:
    page = (await api.get("/docs")).text
    addresses = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", page)

    assert "/openapi.json" in addresses
    assert {address.rpartition(".")[2] for address in addresses} >= {"js", "css", "json"}
    for address in addresses:
        assert address.startswith("/"), address
        assert (await api.get(address)).status_code == 200, address
    assert re.findall(r"https?://\S+", page) == []
