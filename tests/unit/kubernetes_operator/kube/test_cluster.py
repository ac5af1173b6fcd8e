"""The calls to the Kubernetes API: the errors that answers become, and lists that come in pages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent_operator.kube.access import ClusterAccess
from agent_operator.kube.cluster import (
    Cluster,
    ClusterError,
    ClusterUnavailable,
    HasChanged,
    NotAllowed,
    NotThere,
)
from tests.support.servers import HOST, free_port


async def answer(request: web.Request) -> web.StreamResponse:
    status = int(request.match_info["status"])
    return web.json_response({"reason": f"Reason{status}", "message": "m"}, status=status)


async def show_page(request: web.Request) -> web.StreamResponse:
    page = int(request.query.get("continue", "0"))
    token = str(page + 1) if page < 2 else ""
    return web.json_response({"items": [{"page": page}], "metadata": {"continue": token}})


async def cut(_: web.Request) -> web.StreamResponse:
    return web.Response(text="{", content_type="application/json")


LONG = "x" * 300_000


async def show_changes(request: web.Request) -> web.StreamResponse:
    """Sends events in pieces that end in the middle of lines; one line is longer than most readers take."""
    assert (request.query["watch"], request.query["fieldSelector"]) == ("true", "metadata.name=one")
    events = [
        {"type": "ADDED", "object": {"metadata": {"name": "one", "annotations": {"long": LONG}}}},
        {"type": "BOOKMARK", "object": {}},
        {"type": "MODIFIED", "object": {}},
        {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}},
    ]
    text = "".join(f"{json.dumps(event)}\n" for event in events).encode()
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    for start in range(0, len(text), 70_001):
        await stream.write(text[start : start + 70_001])
    return stream


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    app = web.Application()
    app.add_routes([web.get("/status/{status}", answer), web.get("/pages", show_page), web.get("/cut", cut)])
    app.add_routes([web.get("/watch", show_changes)])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        access = SimpleNamespace(session=session, server=str(server.make_url("")).rstrip("/"))
        yield Cluster(cast("ClusterAccess", access))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ClusterUnavailable),
        (403, NotAllowed),
        (404, NotThere),
        (409, HasChanged),
        (410, HasChanged),
        (422, ClusterError),
        (429, ClusterUnavailable),
        (500, ClusterUnavailable),
    ],
)
async def test_a_status_becomes_the_error_for_it(status: int, kind: type[ClusterError]) -> None:
    async with cluster() as kubernetes:
        with pytest.raises(ClusterError) as caught:
            await kubernetes.get(f"/status/{status}")

    assert (type(caught.value), caught.value.reason) == (kind, f"Reason{status}")


async def test_a_list_has_the_items_of_all_pages() -> None:
    async with cluster() as kubernetes:
        assert [item["page"] async for item in kubernetes.list("/pages")] == [0, 1, 2]


async def test_an_answer_that_was_cut_off_and_a_server_that_is_down_are_worth_a_retry() -> None:
    async with cluster() as kubernetes:
        with pytest.raises(ClusterUnavailable, match="does not answer"):
            await kubernetes.get("/cut")
    async with aiohttp.ClientSession() as session:
        access = SimpleNamespace(session=session, server=f"http://{HOST}:{free_port()}")
        with pytest.raises(ClusterUnavailable, match="does not answer"):
            await Cluster(cast("ClusterAccess", access)).get("/")


async def test_a_watch_yields_changes_and_no_bookmarks_and_ends_with_the_servers_error() -> None:
    async with cluster() as kubernetes, kubernetes.watching("/watch", fieldSelector="metadata.name=one") as changes:
        assert [await anext(changes), await anext(changes)] == ["ADDED", "MODIFIED"]
        with pytest.raises(HasChanged, match="too old"):
            await anext(changes)


async def test_a_watch_that_is_refused_is_an_error_at_once() -> None:
    async with cluster() as kubernetes:
        with pytest.raises(NotAllowed):
            async with kubernetes.watching("/status/403"):
                pytest.fail("it was opened")
