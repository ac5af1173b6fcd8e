"""The client of the REST API: it distinguishes requests that were done, were not done, and may still be done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent_operator.rest.rest_client import (
    FORMER_SECONDS,
    RestClient,
    RestRefused,
    RestUnavailable,
    ServiceKey,
    _failure,
    open_session,
)
from tests.support.doubles import ManualClock
from tests.support.servers import HOST, free_port

KEY = "00000000-0000-4000-8000-000000000001"
SENTENCE = "There is no agent Nobody. Name one of: CodeAgent."
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(status: int, code: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"code": code, "detail": "No."}, status=status)

    return answer


async def never_answer(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def stand_in_between(_: web.Request) -> web.StreamResponse:
    return web.Response(status=502, text="Bad Gateway")


async def submit_to(url: str) -> RestUnavailable:
    async with open_session(url) as session:
        with pytest.raises(RestUnavailable) as caught:
            await RestClient(session, ServiceKey("")).submit({}, tenant="team", key=KEY)
    return caught.value


@pytest.mark.parametrize(
    ("handler", "code", "uncertain"),
    [
        (never_answer, "API_UNREACHABLE", True),
        (stand_in_between, "HTTP_502", True),
        (problem(503, "STORE_UNAVAILABLE"), "STORE_UNAVAILABLE", True),
        (problem(503, "INTAKE_PAUSED"), "INTAKE_PAUSED", False),
        (problem(429, "TENANT_QUEUE_FULL"), "TENANT_QUEUE_FULL", False),
        (problem(401, "UNAUTHENTICATED"), "UNAUTHENTICATED", False),
    ],
)
async def test_after_errors_of_servers_it_is_uncertain_what_was_done(
    handler: Handler, code: str, uncertain: bool
) -> None:
    app = web.Application()
    app.router.add_post("/v1/agent/execute", handler)
    async with TestServer(app) as server:
        error = await submit_to(str(server.make_url("/")))
    assert (error.code, error.uncertain) == (code, uncertain)


async def test_a_page_of_unfinished_tasks_may_take_longer_than_other_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer_late(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return web.json_response({"items": [], "next_cursor": None})

    monkeypatch.setattr("agent_operator.rest.rest_client.REQUEST_SECONDS", 0.05)
    app = web.Application()
    app.router.add_post("/v1/tasks/lookup", answer_late)
    async with TestServer(app) as server, open_session(str(server.make_url("/"))) as session:
        client = RestClient(session, ServiceKey(""))
        with pytest.raises(RestUnavailable):
            await client.find([KEY])

        assert (await client.find_unfinished("c1")).items == ()


async def test_what_was_never_sent_was_not_done() -> None:
    error = await submit_to(f"http://{HOST}:{free_port()}")
    assert (error.code, error.uncertain) == ("API_UNREACHABLE", False)


def test_a_key_that_is_replaced_in_its_file_is_sent_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = ServiceKey("", path)
    with pytest.raises(RestUnavailable, match="AGENT_OPERATOR_API_KEY_FILE"):
        key.headers()

    path.write_text("first\n")
    assert key.headers() == {"X-API-Key": "first"}
    (tmp_path / "new").write_text("second")
    (tmp_path / "new").rename(path)
    assert key.headers() == {"X-API-Key": "second"}


async def test_an_api_of_the_version_before_gets_a_submission_without_the_newer_fields() -> None:
    """While an update replaces the API, its older processes would refuse the task for good."""
    bodies: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        unknown = [name for name in bodies[-1]["source"] if name in ("namespace_uid", "shift")]
        errors = [{"field": f"source.{name}", "message": "is not a known field"} for name in unknown]
        if unknown:
            return web.json_response({"code": "INVALID_REQUEST", "detail": "No.", "errors": errors}, status=422)
        return web.json_response({"task_id": "t"}, status=202)

    app = web.Application()
    app.router.add_post("/v1/agent/execute", answer)
    source = {"cluster": "c", "uid": KEY, "namespace_uid": KEY, "shift": KEY}
    async with TestServer(app) as server, open_session(str(server.make_url("/"))) as session:
        made = await RestClient(session, ServiceKey("")).submit({"source": source}, tenant="team", key=KEY)

    assert made == "t"
    assert bodies[-1] == {"source": {"cluster": "c", "uid": KEY}}


async def test_a_refusal_of_other_fields_stays_one() -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        errors = [{"field": "task", "message": "is required"}]
        return web.json_response({"code": "INVALID_REQUEST", "detail": "No.", "errors": errors}, status=422)

    app = web.Application()
    app.router.add_post("/v1/agent/execute", answer)
    async with TestServer(app) as server, open_session(str(server.make_url("/"))) as session:
        with pytest.raises(RestRefused, match="task is required"):
            await RestClient(session, ServiceKey("")).submit({"source": {}}, tenant="team", key=KEY)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([("agent", SENTENCE)], SENTENCE),
        ([("agent", SENTENCE), ("task", "is blank")], f"{SENTENCE} task is blank."),
        ([("task", "is blank"), ("priority", "is above 9.")], f"{SENTENCE} task is blank; priority is above 9."),
    ],
)
def test_a_sentence_that_a_problem_repeats_for_its_field_is_told_once(
    errors: list[tuple[str, str]], message: str
) -> None:
    fields = [{"field": field, "message": text} for field, text in errors]
    assert str(_failure(422, None, {"code": "UNKNOWN_AGENT", "detail": SENTENCE, "errors": fields})) == message


def replace_key(path: Path, key: str) -> None:
    """Replaces the file as the kubelet does: the new one has another inode."""
    path.with_name("other").write_text(key)
    path.with_name("other").rename(path)


async def test_the_key_before_is_sent_until_the_api_knows_the_new_one(tmp_path: Path) -> None:
    path, clock = tmp_path / "key", ManualClock()
    accepted, sent = {"first"}, list[str]()

    async def check(request: web.Request) -> web.StreamResponse:
        sent.append(request.headers["X-API-Key"])
        known = sent[-1] in accepted
        return web.json_response({"task_id": "t", "code": "UNAUTHENTICATED"}, status=202 if known else 401)

    app = web.Application()
    app.router.add_post("/v1/agent/execute", check)
    path.write_text("first")
    async with TestServer(app) as server, open_session(str(server.make_url("/"))) as session:
        client = RestClient(session, ServiceKey("", path, clock))

        async def submit() -> str:
            return await client.submit({}, tenant="team", key=KEY)

        await submit()
        replace_key(path, "second")
        assert [await submit() for _ in range(2)] == ["t", "t"]
        clock.advance(FORMER_SECONDS)
        accepted.update({"second"})
        await submit()
        accepted.remove("second")
        accepted.remove("first")
        with pytest.raises(RestUnavailable) as refused:
            await submit()

    assert refused.value.code == "UNAUTHENTICATED"
    assert sent == ["first", "second", "first", "first", "second", "second", "first"]


async def test_a_wrong_key_without_one_before_is_sent_once(tmp_path: Path) -> None:
    sent = list[str]()

    async def refuse(request: web.Request) -> web.StreamResponse:
        sent.append(request.headers["X-API-Key"])
        return web.json_response({"code": "UNAUTHENTICATED"}, status=401)

    app = web.Application()
    app.router.add_post("/v1/agent/execute", refuse)
    path = tmp_path / "key"
    path.write_text("wrong")
    async with TestServer(app) as server, open_session(str(server.make_url("/"))) as session:
        with pytest.raises(RestUnavailable):
            await RestClient(session, ServiceKey("", path)).submit({}, tenant="team", key=KEY)

    assert sent == ["wrong"]
