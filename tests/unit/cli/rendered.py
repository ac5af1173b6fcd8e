"""Tasks as the REST API renders them, with the fields that the terminal reads."""

from __future__ import annotations

from typing import Any


def rendered_task(**fields: Any) -> dict[str, Any]:
    task: dict[str, Any] = {"status": "completed", "error": None, "attempts": 1, "steps": []}
    return {**task, "result": {"code_language": None}, **fields}


def rendered_steps(*statuses: str) -> list[dict[str, Any]]:
    usage = {"total_tokens": 7, "cost_usd": 0.000012}
    attempt = {"provider": "openai", "model": "gpt-x", "error_type": None, "usage": usage}
    attempts = [{**attempt, "status": status} for status in statuses]
    return [{"attempts": attempts}]
