from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from app.background import Duty, keep_running, running_duties


async def log_lines_of(duty: Duty, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Runs the duty until it has begun for the third time. Returns the log lines."""
    monkeypatch.setattr("app.background.RESTART_SECONDS", 0)
    begun = asyncio.Semaphore(0)

    async def counted() -> None:
        begun.release()
        await duty()

    with capture_logs() as lines:
        running = asyncio.create_task(keep_running("dusting", counted))
        for _ in range(3):
            await begun.acquire()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return [dict(line) for line in lines]


async def test_a_duty_that_fails_is_restarted_and_its_causes_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise ExceptionGroup("both", [ValueError("a secret"), ExceptionGroup("deeper", [KeyError("another")])])

    lines = await log_lines_of(fail, monkeypatch)

    assert [line["error_class"] for line in lines[:2]] == ["ValueError", "KeyError"]
    assert "secret" not in str(lines)


async def test_a_duty_that_ends_is_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def end() -> None:
        return

    assert (await log_lines_of(end, monkeypatch))[0]["event"] == "background_duty_ended"


async def test_duties_end_with_the_body() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def duty() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running_duties({"waiting": duty}):
        await began.wait()
        assert not ended.is_set()
    assert ended.is_set()
