"""Access to the Kubernetes API: the service account's token, which the kubelet rotates."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from aiohttp import ClientRequest, ClientResponse

from agent_operator.kube.access import TOKEN_SECONDS, _FreshToken
from tests.support.doubles import ManualClock


async def authorization_of(middleware: _FreshToken) -> str:
    """Returns the header that the middleware puts on a request."""
    request = cast("ClientRequest", SimpleNamespace(headers={}))

    async def send(_: ClientRequest) -> ClientResponse:
        return cast("ClientResponse", None)

    await middleware(request, send)
    return request.headers["Authorization"]


async def test_a_rotated_token_is_sent_after_a_minute_at_the_latest(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "token"
    path.write_text("first\n")
    middleware = _FreshToken(path, clock)
    assert await authorization_of(middleware) == "Bearer first"

    path.write_text("second token\n")
    clock.advance(TOKEN_SECONDS)
    assert await authorization_of(middleware) == "Bearer first"
    clock.advance(1)
    assert await authorization_of(middleware) == "Bearer second token"
