"""The carrier over real sockets: what it sends, and what it makes of everything that a server may answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.llm.faults import FaultKind, InvalidOutput, ProviderFault
from app.llm.interface import ChatMessage
from app.llm.provider_table import Provider
from app.llm.providers.adapter import ProviderAnswer, ProviderRequest
from app.llm.providers.http_adapter import MAX_BODY_BYTES
from tests.support.model_server import CREDENTIAL_HEADERS, SHORT_ANSWERS, Reply, adapting, response, serving
from tests.support.servers import free_port

PROMPT = "an unmistakable prompt"
CHAT = SHORT_ANSWERS[Provider.OPENAI]
NGINX = b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
SIGN_IN = b"\xef\xbb\xbf<!-- proxy -->\n<!DOCTYPE html>\n<html lang=en><body>Your API key? Sign in</body></html>"
STREAM = b'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def request(*, stream: bool = False, silence_seconds: float = 5.0) -> ProviderRequest:
    messages = (ChatMessage("user", PROMPT),)
    return ProviderRequest(model="m", messages=messages, max_tokens=100, stream=stream, silence_seconds=silence_seconds)


async def ask(*replies: bytes | Reply, stream: bool = False, silence_seconds: float = 5.0) -> ProviderAnswer:
    async with serving(*replies) as server, adapting(server.url) as adapter:
        return await adapter.answer(request(stream=stream, silence_seconds=silence_seconds))


async def fault_of(*replies: bytes | Reply, stream: bool = False, silence_seconds: float = 5.0) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        await ask(*replies, stream=stream, silence_seconds=silence_seconds)
    assert PROMPT not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("provider", Provider, ids=str)
async def test_nothing_of_the_environment_is_sent(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: leaked")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Secret: leaked")
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "leaked")
    async with serving(response(SHORT_ANSWERS[provider])) as server, adapting(server.url, provider=provider) as adapter:
        await adapter.answer(request())
    assert "leaked" not in str(server.heads)


async def test_a_server_of_ones_own_without_a_key_gets_no_credential() -> None:
    async with serving(response(CHAT)) as server, adapting(server.url, key=None) as adapter:
        await adapter.answer(request())
    assert not any(name in server.heads[0] for name in CREDENTIAL_HEADERS)


async def test_a_refused_key_is_read_once_more_if_it_was_replaced(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-old")
    refusal = response(b'{"error": {"code": "invalid_api_key"}}', status="401 Unauthorized")

    async def replace(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        file.write_text("sk-new")
        writer.write(refusal)

    async with (
        serving(replace, response(CHAT), refusal) as server,
        adapting(server.url, key=None, key_file=file) as adapter,
    ):
        assert (await adapter.answer(request())).text == "Hi"
        with pytest.raises(ProviderFault) as caught:
            await adapter.answer(request())
    assert caught.value.kind is FaultKind.AUTH
    assert [head["authorization"] for head in server.heads] == ["bearer sk-old", "bearer sk-new", "bearer sk-new"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "reply",
    [
        response(CHAT),
        response(CHAT, kind="application/json; charset=utf-8"),
        response(STREAM, kind="text/event-stream; charset=utf-8"),
    ],
    ids=["json", "json with a charset", "events"],
)
async def test_the_answer_is_read_as_what_it_is_whatever_was_asked_for(reply: bytes, stream: bool) -> None:
    assert (await ask(reply, stream=stream)).text == "Hi"


async def test_a_stream_may_have_any_type_but_that_of_a_page() -> None:
    assert (await ask(response(STREAM, kind="text/plain"), stream=True)).text == "Hi"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (response(b"<html>Sign in</html>", kind="text/html"), "200 text/html"),
        (response(b"", status="308 Permanent Redirect", headers={"Location": "http://other.test/"}), "308 redirect"),
        (response(b'{"detail": "Not Found"}', status="404 Not Found"), '404: "Not Found"'),
        (response(b"<html>no</html>", status="404 Not Found", kind="text/html"), "404"),
        (response(b"", status="405 Method Not Allowed"), "405"),
        (response(NGINX, status="403 Forbidden", kind="text/html"), "403"),
        (response(SIGN_IN, status="401 Unauthorized", kind="text/html; charset=utf-8"), "401"),
        (response(NGINX, status="403 Forbidden", kind="application/octet-stream"), "403"),
    ],
    ids=["page", "redirect", "no such path", "page of 404", "method", "page of 403", "page of 401", "untyped page"],
)
async def test_a_wrong_address_names_its_variable(reply: bytes, said: str, stream: bool) -> None:
    fault = await fault_of(reply, stream=stream)
    assert fault.kind is FaultKind.WRONG_ENDPOINT
    assert fault.detail == f"{said} (is OPENAI_BASE_URL right?)"
    assert not fault.maybe_billed


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
@pytest.mark.parametrize(
    "reply",
    [
        (b'{"error": {"message": "No."}}', "application/json"),
        (b'{"error": {"message": "<html> is no page here"}}', "text/html"),
        (b"Unauthorized", "text/html"),
        (b"Unauthorized", "text/plain"),
        (b"", "text/html"),
    ],
    ids=["json", "json as a page", "text as a page", "text", "nothing"],
)
async def test_a_refusal_that_is_no_page_is_about_the_key(reply: tuple[bytes, str], status: str) -> None:
    body, kind = reply
    fault = await fault_of(response(body, status=status, kind=kind))
    assert fault.kind is FaultKind.AUTH


async def test_a_refusal_says_why_without_quoting_the_prompt() -> None:
    body = f'{{"error": {{"message": "bad value in: {PROMPT}", "code": "invalid_value", "param": "messages"}}}}'
    fault = await fault_of(response(body.encode(), status="400 Bad Request", headers={"x-request-id": "req_7"}))
    assert fault.kind is FaultKind.BAD_REQUEST
    assert fault.detail == '400 invalid_value param=messages: "bad value in: …" (request req_7)'
    assert fault.outline == "400 invalid_value param=messages (request req_7)"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_word_of_the_prompt_in_a_refusal_is_not_for_the_log(stream: bool) -> None:
    body = b'{"error": {"message": "We do not talk of unmistakable things.", "code": "policy"}}'
    whole, begun = response(body, status="400 No"), response(b"data: " + body + b"\n\n", kind="text/event-stream")
    fault = await fault_of(begun if stream else whole, stream=stream)
    assert "unmistakable" in fault.detail
    assert fault.outline == ("policy" if stream else "400 policy")


async def test_a_pause_that_the_server_asks_for_is_read() -> None:
    fault = await fault_of(response(b"{}", status="429 Too Many Requests", headers={"Retry-After": "7"}))
    assert (fault.kind, fault.retry_after) == (FaultKind.RATE_LIMITED, 7.0)


LIMITED = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, LIMITED, 360.0),
        (429, {**LIMITED, "Retry-After": "7"}, 7.0),
        (429, {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6m0s"}, None),
        (429, {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2000-01-01"}, 0.0),
        # Every answer has these headers: only that of a rate limit speaks of them.
        (503, LIMITED, None),
        (400, LIMITED, None),
    ],
)
async def test_without_a_pause_the_reset_of_the_limit_is_one(
    status: int, headers: dict[str, str], wait: float | None
) -> None:
    fault = await fault_of(response(b"{}", status=f"{status} No", headers=headers))
    assert fault.retry_after == wait


@pytest.mark.parametrize(("word", "told"), [("true", True), ("false", False), ("maybe", None)])
async def test_the_servers_word_on_a_retry_comes_with_its_refusal(word: str, told: bool | None) -> None:
    fault = await fault_of(response(b"{}", status="500 No", headers={"X-Should-Retry": word}))
    assert fault.should_retry is told


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"", FaultKind.UNREACHABLE),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\nhalf",
            FaultKind.UNREACHABLE,
        ),
        (b"this is not HTTP\r\n\r\n", FaultKind.BROKEN_ANSWER),
        (response(b""), FaultKind.BROKEN_ANSWER),
        (response(b"[1]"), FaultKind.BROKEN_ANSWER),
        (response(b"not json"), FaultKind.BROKEN_ANSWER),
        (response(b'{"a":' * 5000), FaultKind.BROKEN_ANSWER),
    ],
    ids=["closed", "half", "no HTTP", "nothing", "list", "text", "deep"],
)
async def test_a_broken_answer_may_have_been_billed(reply: bytes, kind: FaultKind) -> None:
    fault = await fault_of(reply)
    assert (fault.kind, fault.maybe_billed) == (kind, True)


async def test_an_answer_that_never_ends_does_not_fill_the_memory() -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _sent in range(MAX_BODY_BYTES // 1_000_000 + 2):
            writer.write(b" " * 1_000_000)
            try:
                await writer.drain()
            except ConnectionError:
                return  # the client has had enough

    assert (await fault_of(flood)).kind is FaultKind.BROKEN_ANSWER


@pytest.mark.parametrize("stream", [False, True])
async def test_a_silence_is_a_timeout_and_signs_of_life_prolong_it(stream: bool) -> None:
    over = asyncio.Event()

    async def stay_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()

    fault = await fault_of(stay_silent, stream=stream, silence_seconds=0.3)
    over.set()
    assert (fault.kind, fault.maybe_billed) == (FaultKind.TIMEOUT, True)


def event_of(text: str, **choice: str) -> bytes:
    data = json.dumps({"choices": [{"delta": {"content": text}, **choice}]}, ensure_ascii=False)
    return f"data: {data}\n\n".encode()


async def test_thinking_that_nobody_sees_is_a_sign_of_life() -> None:
    async def think(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for piece in ("<think>", *["Hm. "] * 10, "</think>", "Hi"):
            writer.write(event_of(piece))
            await writer.drain()
            await asyncio.sleep(0.06)  # together longer than the silence
        writer.write(b"data: [DONE]\n\n")

    assert (await ask(think, stream=True, silence_seconds=0.5)).text == "Hi"


async def test_a_megabyte_in_one_event_is_one_answer() -> None:
    text, received = "Snö faller.\n" * 90_000, list[str]()
    reply = response(event_of(text, finish_reason="stop"), kind="text/event-stream")
    async with serving(reply) as server, adapting(server.url) as adapter:
        answer = await adapter.answer(replace(request(stream=True), on_text=received.append))
    assert len(text) > 1_000_000
    assert answer.text == "".join(received) == text


async def test_nobody_listening_was_not_billed() -> None:
    async with adapting(f"http://127.0.0.1:{free_port()}") as adapter:
        with pytest.raises(ProviderFault) as caught:
            await adapter.answer(request())
    assert (caught.value.kind, caught.value.maybe_billed) == (FaultKind.UNREACHABLE, False)


KEPT = response(CHAT).replace(b"Connection: close", b"Connection: keep-alive")


async def test_a_kept_connection_that_the_server_closes_in_between_costs_no_attempt() -> None:
    """Here the server closes at the next request: the client cannot have seen the end before it sent that."""
    closed_at_second_request = 0

    async def answer_and_close_at_the_next(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal closed_at_second_request
        writer.write(KEPT)
        await reader.readuntil(b"\r\n\r\n")
        closed_at_second_request += 1

    async with serving(answer_and_close_at_the_next, KEPT) as server, adapting(server.url) as adapter:
        await adapter.answer(request())
        answer = await adapter.answer(request())

    assert answer.text == "Hi"
    assert closed_at_second_request == 1
    assert len(server.lines) == 2


async def test_a_new_connection_that_the_server_closes_is_not_asked_twice() -> None:
    async def close(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        """Answers nothing."""

    async with serving(close) as server, adapting(server.url) as adapter:
        with pytest.raises(ProviderFault) as caught:
            await adapter.answer(request())

    assert caught.value.kind is FaultKind.UNREACHABLE
    assert len(server.lines) == 1


async def test_a_file_without_a_key_is_an_error_of_the_key_and_nothing_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("not\na key")
    async with serving(response(CHAT)) as server, adapting(server.url, key=None, key_file=file) as adapter:
        with pytest.raises(ProviderFault) as caught:
            await adapter.answer(request())
    assert (caught.value.kind, server.heads) == (FaultKind.AUTH, [])
    assert "OPENAI_API_KEY_FILE" in caught.value.detail


REJECTED = b'{"error": {"message": "Failed.", "code": "json_validate_failed", "failed_generation": "{\\"a\\": 1"}}'
STREAMED = STREAM.partition(b"data: [DONE]")[0]


@pytest.mark.parametrize(
    ("reply", "stream"),
    [
        (response(REJECTED, status="400 Bad Request"), False),
        (response(b"event: error\ndata: " + REJECTED + b"\n\n", kind="text/event-stream"), True),
        (response(STREAMED + b"data: " + REJECTED + b"\n\n", kind="text/event-stream"), True),
    ],
    ids=["refusal", "stream", "after text"],
)
async def test_an_answer_that_the_server_finds_invalid_comes_with_its_text(reply: bytes, stream: bool) -> None:
    fault = await fault_of(reply, stream=stream)
    assert isinstance(fault, InvalidOutput)
    assert (fault.text, fault.problems, fault.maybe_billed) == ('{"a": 1', "Failed.", False)
    assert "json_validate_failed" in fault.detail


@pytest.mark.parametrize(("status", "maybe_billed"), [(504, True), (524, True), (503, False)])
async def test_a_gateway_that_gave_up_waiting_leaves_the_cost_unknown(status: int, maybe_billed: bool) -> None:
    fault = await fault_of(response(b"{}", status=f"{status} No answer"))
    assert (fault.kind is FaultKind.TIMEOUT, fault.maybe_billed) == (maybe_billed, maybe_billed)


async def test_an_answer_whose_stream_does_not_end_is_whole_once_its_end_was_told() -> None:
    cut = STREAM.removesuffix(b"data: [DONE]\n\n")
    for body in (cut, STREAM, cut + b'data: {"half'):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100000\r\n\r\n"
        assert (await ask(head + body, stream=True)).text == "Hi"


async def test_a_server_that_repeats_the_key_does_not_put_it_into_the_reason() -> None:
    body = b'{"error": {"message": "Virtual key expected. Received=my-proxy-key-12345, not that."}}'
    async with (
        serving(response(body, status="401 No")) as server,
        adapting(server.url, key="my-proxy-key-12345") as one,
    ):
        with pytest.raises(ProviderFault) as caught:
            await one.answer(request())
    assert "12345" not in caught.value.detail


@pytest.mark.parametrize(("before", "maybe_billed"), [(b"", False), (STREAM.partition(b"data: [DONE]")[0], True)])
async def test_an_error_after_text_has_come_may_have_been_billed(before: bytes, maybe_billed: bool) -> None:
    body = before + b'data: {"error": {"code": 429, "message": "slow down"}}\n\n'
    fault = await fault_of(response(body, kind="text/event-stream"), stream=True)
    assert (fault.kind, fault.maybe_billed) == (FaultKind.RATE_LIMITED, maybe_billed)
