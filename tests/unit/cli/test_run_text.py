"""The steps of a task on a terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from app.cli.run_text import print_runs

USAGE = {"total_tokens": 7, "cost_usd": 0.000012}
ATTEMPT = {
    "provider": "openai", "model": "gpt-x", "status": "ok", "error_type": None, "detail": None, "usage": USAGE
}  # fmt: skip
REFUSED = {**ATTEMPT, "status": "error", "error_type": "LLM_RATE_LIMITED", "detail": "429: too\x1b many"}


def shown(*runs: dict[str, Any]) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    print_runs(console, runs)
    return console.export_text()


def test_a_step_has_its_agent_its_time_and_each_attempt_with_its_reason() -> None:
    run = {"step": "write#1", "agent_name": "ContentAgent", "duration_ms": 1234.5, "attempts": [REFUSED, ATTEMPT]}

    head, refused, reason, answered = shown(run).splitlines()

    assert head.split() == ["write#1", "ContentAgent", "1.23", "s"]
    assert ("LLM_RATE_LIMITED" in refused, reason.strip()) == (True, "429: too many")
    assert answered.split()[:3] == ["gpt-x", "ok", "again"]
    assert "7 tokens  $0.000012" in answered


def test_a_task_without_a_finished_step_is_called_so() -> None:
    assert shown().strip() == "No step has ended yet."
