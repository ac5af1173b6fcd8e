"""The scenes of the tour: a task each, and the outcome that it must have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Trick(StrEnum):
    """The special circumstances of a scene, besides submitting its task."""

    FOLLOW_UP = "follow_up"
    OUTAGE = "outage"
    TWICE = "twice"


@dataclass(frozen=True)
class Scene:
    """One task. `label` names it in the table; `shortfall` returns what the finished task lacks, None if nothing."""

    title: str
    label: str
    task: str
    shortfall: Callable[[Mapping[str, Any]], str | None]
    trick: Trick | None = None


def completed(task: Mapping[str, Any]) -> str | None:
    if task["status"] == "completed":
        return None
    reason = "" if task["error"] is None else f" ({task['error']['type']})"
    return f"it should have been completed and is {task['status']}{reason}"


def with_code(task: Mapping[str, Any]) -> str | None:
    shortfall = completed(task)
    if shortfall is None and not task["result"]["code_language"]:
        return "the answer names no code language"
    return shortfall


def turned_down(task: Mapping[str, Any]) -> str | None:
    if task["error"] is not None and task["error"]["type"] == "UNKNOWN_TASK_TYPE":
        return None
    return "no agent should have taken it (UNKNOWN_TASK_TYPE)"


def answered_by_fallback(task: Mapping[str, Any]) -> str | None:
    attempts = [attempt for step in task["steps"] for attempt in step["attempts"]]
    if completed(task) is None and any(attempt["status"] not in ("ok", "cancelled") for attempt in attempts):
        return None
    return completed(task) or "no failed attempt is on record"


def ran_once(task: Mapping[str, Any]) -> str | None:
    if completed(task) is None and task["attempts"] != 1:
        return f"it should have run once and ran {task['attempts']} times"
    return completed(task)


_PUZZLE = """\
def order(words):
    return sorted(words, key=lambda word: (-len(word), word))"""

SCENES = (
    Scene(
        "An article, with a web search and checked sources",
        "article",
        "Write an article about tidal energy in Europe",
        completed,
    ),
    Scene(
        "Code, with its language",
        "code",
        "Write a Python function that checks whether a number is prime",
        with_code,
    ),
    Scene(
        "An explanation of code",
        "explanation",
        f"Explain what this Python code does:\n```python\n{_PUZZLE}\n```",
        completed,
    ),
    Scene(
        "A follow-up in the first task's session",
        "follow-up",
        "Summarise the article above in two sentences",
        completed,
        Trick.FOLLOW_UP,
    ),
    Scene(
        "A task that no agent here can do",
        "no agent can",
        "Bake me a chocolate cake and bring it to my desk",
        turned_down,
    ),
    Scene(
        "The primary model is down: the next one of the chain answers",
        "model down",
        "Write a short article about the history of lighthouses",
        answered_by_fallback,
        Trick.OUTAGE,
    ),
    Scene(
        "The same request twice, with one Idempotency-Key",
        "sent twice",
        "Write a SQL query that lists the ten best customers by revenue",
        ran_once,
        Trick.TWICE,
    ),
)
