"""Every fault of every provider over real HTTP: the right error, the right attempts, the right count of tokens."""

from __future__ import annotations

import asyncio
import time

import pytest
from pydantic import BaseModel, SecretStr

from app.errors import (
    LLMAuthFailed,
    LLMBadRequest,
    LLMContextOverflow,
    LLMError,
    LLMModelNotFound,
    LLMOutputEmpty,
    LLMOutputInvalid,
    LLMQuotaExceeded,
    LLMRateLimited,
    LLMRefused,
    LLMTimeout,
    LLMUnavailable,
)
from app.llm.interface import ChatMessage, ModelRole
from app.settings import LLMSettings
from tests.integration.llm.conftest import Ask, Control, build_asked
from tests.support.model_server import serving

PROMPT = "an unmistakable prompt"
MESSAGES = [ChatMessage("user", PROMPT)]
PREFIXES = ["sim-", "gpt-6-sim-", "claude-sim-"]
TRIES = 2
ANY_ANSWER: dict[str, tuple[type[LLMError], int]] = {
    "down": (LLMUnavailable, TRIES),
    "error": (LLMUnavailable, TRIES),
    "overloaded": (LLMUnavailable, TRIES),
    "reset": (LLMUnavailable, TRIES),
    "hang": (LLMTimeout, 1),
    "stall": (LLMTimeout, 1),
    "429": (LLMRateLimited, TRIES),
    "429-long": (LLMRateLimited, 1),
    "quota": (LLMQuotaExceeded, 1),
    "401": (LLMAuthFailed, 1),
    "403": (LLMAuthFailed, 1),
    "404": (LLMModelNotFound, 1),
    "bad-request": (LLMBadRequest, 1),
    "context-overflow": (LLMContextOverflow, 1),
    "empty": (LLMOutputEmpty, 1),
    "refusal": (LLMRefused, 1),
}
STRUCTURED: dict[str, tuple[type[LLMError], int]] = {
    "broken-json": (LLMOutputInvalid, 3),
    "wrong-schema": (LLMOutputInvalid, 3),
}
# After a cut connection or a silence it is unknown whether the provider has charged for the call.
SILENT = ("hang", "stall")
UNKNOWN_COST = {"reset", *SILENT}


class Place(BaseModel):
    city: str
    confidence: float


async def provoke(ask: Ask, model: str, *, way: str) -> tuple[LLMError, int]:
    """Returns the error and the number of reservations that stay open."""
    asked = ask(model, tries=TRIES, timeout=0.5 if model.endswith(SILENT) else 10.0)
    call = (
        asked.llm.chat(MESSAGES, role=ModelRole.CONTENT)
        if way == "stream"
        else asked.llm.complete(MESSAGES, role=ModelRole.PEER, schema=Place if way == "schema" else None)
    )
    with pytest.raises(LLMError) as caught:
        await call
    assert list(caught.value.attempts) == asked.recorded
    return caught.value, asked.allowance.open


@pytest.mark.parametrize("way", ["plain", "schema", "stream"])
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("fault", ANY_ANSWER)
async def test_a_fault_has_its_error(ask: Ask, control: Control, fault: str, prefix: str, way: str) -> None:
    expected, tries = ANY_ANSWER[fault]
    error, still_open = await provoke(ask, prefix + fault, way=way)
    assert type(error) is expected
    assert len(error.attempts) == tries
    assert still_open == (tries if fault in UNKNOWN_COST else 0)
    assert PROMPT not in str(error)
    assert all(PROMPT not in (attempt.detail or "") for attempt in error.attempts)
    if fault not in UNKNOWN_COST:
        counted = await control.calls()
        metered = sum(attempt.usage.total_tokens for attempt in error.attempts)
        assert metered == counted["input_tokens"] + counted["output_tokens"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("fault", STRUCTURED)
async def test_output_that_never_fits_is_paid_for_and_fails(
    ask: Ask, control: Control, fault: str, prefix: str
) -> None:
    expected, tries = STRUCTURED[fault]
    error, still_open = await provoke(ask, prefix + fault, way="schema")
    assert (type(error), len(error.attempts), still_open) == (expected, tries, 0)
    counted = await control.calls()
    metered = sum(attempt.usage.total_tokens for attempt in error.attempts)
    assert metered == counted["input_tokens"] + counted["output_tokens"] > 0


async def test_a_silence_between_chunks_is_a_timeout_but_a_slow_stream_is_not(ask: Ask) -> None:
    asked = ask("sim-drip-100", timeout=2.0)
    completion = await asked.llm.chat(MESSAGES, role=ModelRole.CONTENT)  # 30 chunks, 3 s, beyond the timeout
    assert [attempt.status for attempt in completion.attempts] == ["ok"]


@pytest.mark.parametrize("way", ["plain", "stream"])
async def test_a_stream_that_comes_byte_by_byte_ends_at_the_deadline(way: str) -> None:
    sent = 0

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ")
        while not writer.is_closing():
            writer.write(b" ")
            sent += 1
            await asyncio.sleep(0.02)

    async with serving(drip) as server:
        settings = LLMSettings(
            peer_model="m",
            content_model="m",
            fallback_model="",
            openai_base_url=server.url,
            openai_api_key=SecretStr("sk-test"),
        )
        asked = build_asked(settings)
        asked.remaining_seconds = 0.5
        ask_in_words = asked.llm.chat if way == "stream" else asked.llm.complete
        begun = time.monotonic()
        with pytest.raises(LLMTimeout) as caught:
            await ask_in_words(MESSAGES, role=ModelRole.CONTENT)
        waited = time.monotonic() - begun
        await asked.gateway.aclose()

    # No byte was later than any limit of a silence.
    assert sent > 5
    assert 0.5 <= waited < settings.timeout_seconds
    assert [attempt.status for attempt in caught.value.attempts] == ["timeout"]
    assert asked.allowance.open == 1
