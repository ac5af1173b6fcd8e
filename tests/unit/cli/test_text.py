"""What stands on the terminal: no control characters, no markup, no invented numbers."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from app.cli.demo.scenes import SCENES, Trick, answered_by_fallback, completed, ran_once, turned_down, with_code
from app.cli.demo.stage import EXCERPT_LINES, excerpt
from app.cli.text import attempt_lines, cost_text, plain, print_task, seconds_of, shorten, task_table


def _task(**fields: Any) -> dict[str, Any]:
    task: dict[str, Any] = {"status": "completed", "error": None, "attempts": 1, "steps": []}
    return {**task, "result": {"code_language": None}, **fields}


def _steps(*statuses: str) -> list[dict[str, Any]]:
    usage = {"total_tokens": 7, "cost_usd": 0.000012}
    attempts = [{"model": "gpt-x", "status": status, "error_type": None, "usage": usage} for status in statuses]
    return [{"attempts": attempts}]


@pytest.mark.parametrize(
    ("written", "shown"),
    [("\x1b[2Jgone", "[2Jgone"), ("a\u202eb\u200bc", "abc"), ("line\n\tnext", "line\n\tnext"), ("é — ✓", "é — ✓")],
)
def test_characters_that_a_terminal_obeys_are_taken_out(written: str, shown: str) -> None:
    assert plain(written) == shown


def test_long_text_becomes_one_line_with_a_mark() -> None:
    assert shorten("a  b\nc", 10) == "a b c"
    assert shorten("x" * 20, 10) == "x" * 9 + "…"


def test_excerpt_marks_what_it_leaves_out() -> None:
    assert excerpt("one\ntwo") == "one\ntwo"
    cut = excerpt("\n".join(str(number) for number in range(50)))
    assert cut.splitlines()[-1] == "…"
    assert len(cut.splitlines()) == EXCERPT_LINES + 1


def test_unknown_cost_is_never_zero() -> None:
    assert cost_text(None) == "unknown"
    assert cost_text(0.001234) == "$0.001234"


def test_seconds_run_from_acceptance_to_the_end() -> None:
    times = {"created_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:02.500000Z"}
    assert seconds_of(times) == 2.5
    assert seconds_of({**times, "completed_at": None}) is None


def test_every_attempt_has_its_line() -> None:
    lines = attempt_lines(_task(steps=_steps("error", "ok")))
    assert ["error" in lines[0], "ok" in lines[1]] == [True, True]
    assert all("7 tokens  $0.000012" in line for line in lines)


def test_on_a_narrow_terminal_texts_hang_and_addresses_stay_whole() -> None:
    url = f"https://docs.example.com/{'long/' * 20}"
    result = {"raw_output": "An answer [1]", "citations": [{"title": "A title of many words " * 4, "url": url}]}
    times = {"created_at": "2026-01-01T00:00:00Z", "completed_at": None}
    said = {
        "task": "Ask",
        "session_id": "s",
        "selected_agent": "ContentAgent",
        "peer_routing_reason": "many words " * 9,
    }
    console = Console(width=60, record=True, file=io.StringIO())
    print_task(console, _task(task_id="t", result=result, **times, **said))
    head, facts, sources = re.split(r"\n(?=  asked|An answer)", console.export_text())
    assert head.split() == ["Task", "t", "completed"]
    assert all(line.startswith("  ") for line in facts.rstrip().splitlines())
    _, *listed = sources.rstrip().splitlines()
    assert listed[-1] == f"       {url}"
    assert all(line.startswith("  ") for line in listed)


@pytest.mark.parametrize(
    ("judge", "task", "as_promised"),
    [
        (completed, _task(), True),
        (completed, _task(status="failed", error={"type": "AGENT_FAULT"}), False),
        (with_code, _task(result={"code_language": "python"}), True),
        (with_code, _task(), False),
        (turned_down, _task(status="failed", error={"type": "UNKNOWN_TASK_TYPE"}), True),
        (turned_down, _task(), False),
        (answered_by_fallback, _task(steps=_steps("error", "ok")), True),
        (answered_by_fallback, _task(steps=_steps("ok")), False),
        (ran_once, _task(), True),
        (ran_once, _task(attempts=2), False),
    ],
)
def test_scene_says_when_a_task_is_not_as_promised(judge: Any, task: dict[str, Any], as_promised: bool) -> None:
    assert (judge(task) is None) is as_promised


def test_first_scene_is_one_that_the_follow_up_can_use() -> None:
    assert SCENES[0].trick is None
    assert [scene.trick for scene in SCENES if scene.trick] == [Trick.FOLLOW_UP, Trick.OUTAGE, Trick.TWICE]


def test_a_long_task_leaves_every_other_column_whole() -> None:
    summary = {
        "task_id": "3b532d5d-e8a8-4b66-a1b6-0ddfc613cb33",
        "status": "processing",
        "selected_agent": "ContentAgent",
        "task_preview": "Write about tidal energy, with sources. " * 5,
    }
    console = Console(width=80)
    with console.capture() as shown:
        console.print(task_table([summary]))

    assert all(part in shown.get() for part in (summary["task_id"], "processing", "ContentAgent", "Write"))
