"""Text for the terminal: no control characters, no markup, no invented numbers."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from app.cli.text import attempt_lines, cost_text, plain, print_task, print_tasks, seconds_of, shorten
from tests.unit.cli.rendered import rendered_steps, rendered_task


@pytest.mark.parametrize(
    ("written", "shown"),
    [("\x1b[2Jgone", "[2Jgone"), ("a\u202eb\u200bc", "abc"), ("line\n\tnext", "line\n\tnext"), ("é — ✓", "é — ✓")],
)
def test_characters_that_a_terminal_obeys_are_taken_out(written: str, shown: str) -> None:
    assert plain(written) == shown


def test_long_text_becomes_one_line_with_a_mark() -> None:
    assert shorten("a  b\nc", 10) == "a b c"
    assert shorten("x" * 20, 10) == "x" * 9 + "…"


def test_unknown_cost_is_never_zero() -> None:
    assert cost_text({"cost_usd": None}) == "unknown"
    assert cost_text({"cost_usd": None, "known_cost_usd": 0, "estimated": True}) == "unknown"
    assert cost_text({"cost_usd": 0.001234}) == "$0.001234"


def test_a_cost_that_is_not_exact_is_called_so() -> None:
    assert cost_text({"cost_usd": 0.001234, "known_cost_usd": 0.001234, "estimated": True}) == "about $0.001234"
    assert cost_text({"cost_usd": None, "known_cost_usd": 0.001234, "estimated": True}) == "at least $0.001234"


def test_estimated_tokens_of_a_task_are_called_so() -> None:
    usage = {"total_tokens": 881, "cost_usd": 0.001, "known_cost_usd": 0.001, "estimated": True}
    times = {"created_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:02Z"}
    fields = {"task": "Ask", "session_id": "s", "selected_agent": None, "peer_routing_reason": None}
    console = Console(width=100, record=True, file=io.StringIO())
    print_task(console, rendered_task(task_id="t", usage=usage, **fields | times | {"result": None}))
    assert "2.0 s, about 881 tokens, about $0.001000" in console.export_text()


def test_seconds_run_from_acceptance_to_the_end() -> None:
    times = {"created_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:02.500000Z"}
    assert seconds_of(times) == 2.5
    assert seconds_of({**times, "completed_at": None}) is None


def test_an_attempt_has_its_outcome_tokens_and_cost_in_a_line() -> None:
    (step,) = rendered_steps("error", "ok")
    lines = attempt_lines(step["attempts"])
    assert ["error" in lines[0], "ok" in lines[1]] == [True, True]
    assert all("7 tokens  $0.000012" in line for line in lines)


@pytest.mark.parametrize(
    ("statuses", "repeats"),
    [
        (("error", "timeout", "ok"), [False, True, True]),
        (("ok", "error", "rate_limited"), [False, False, True]),
        (("error", "skipped", "error"), [False, False, False]),
    ],
)
def test_an_attempt_that_repeats_a_failed_call_is_marked(statuses: tuple[str, ...], repeats: list[bool]) -> None:
    (step,) = rendered_steps(*statuses)
    assert [" again " in line for line in attempt_lines(step["attempts"])] == repeats


def test_the_next_model_of_a_chain_repeats_no_call() -> None:
    (step,) = rendered_steps("error", "error", "ok")
    first, other, last = step["attempts"]
    attempts = [first, {**other, "provider": "azure"}, {**last, "model": "gpt-y"}]
    assert [" again " in line for line in attempt_lines(attempts)] == [False, False, False]


def test_the_line_of_an_attempt_fits_into_a_narrow_terminal() -> None:
    (step,) = rendered_steps("rate_limited", "rate_limited")
    attempts = [{**attempt, "error_type": "LLM_RATE_LIMITED"} for attempt in step["attempts"]]
    assert all(len(line) <= 78 for line in attempt_lines(attempts))


def test_on_a_narrow_terminal_texts_hang_and_addresses_stay_whole() -> None:
    url = f"https://docs.example.com/{'long/' * 20}"
    result = {"raw_output": "An answer [1]", "citations": [{"title": "A title of many words " * 4, "url": url}]}
    times = {"created_at": "2026-01-01T00:00:00Z", "completed_at": None}
    fields = {
        "task": "Ask",
        "session_id": "s",
        "selected_agent": "ContentAgent",
        "peer_routing_reason": "many words " * 9,
    }
    console = Console(width=60, record=True, file=io.StringIO())
    print_task(console, rendered_task(task_id="t", result=result, **times, **fields))
    head, facts, sources = re.split(r"\n(?=  asked|An answer)", console.export_text())
    assert head.split() == ["Task", "t", "completed"]
    assert all(line.startswith("  ") for line in facts.rstrip().splitlines())
    _, *listed = sources.rstrip().splitlines()
    assert listed[-1] == f"       {url}"
    assert all(line.startswith("  ") for line in listed)


@pytest.mark.parametrize(("width", "asked"), [(80, 60), (100, 30), (140, 60)])
def test_a_long_task_leaves_every_other_column_whole_and_is_itself_readable(width: int, asked: int) -> None:
    preview = "Write about tidal energy, its history and its costs, with a source for each"
    summary: dict[str, Any] = {
        "task_id": "3b532d5d-e8a8-4b66-a1b6-0ddfc613cb33",
        "status": "processing",
        "selected_agent": "ContentAgent",
        "task_preview": preview,
        "usage": {"cost_usd": 0.000123},
    }
    console = Console(width=width)
    with console.capture() as shown:
        print_tasks(console, [summary])

    parts = (summary["task_id"], "processing", "ContentAgent", preview[: asked - 1])
    assert all(part in shown.get() for part in parts)
    assert max(map(len, shown.get().splitlines())) <= width


URL = f"https://docs.example.com/{'long/' * 20}"
CITATIONS = [{"title": "A page", "url": URL}, {"title": "Another page", "url": "https://other.example.com/"}]


def shown_answer(raw_output: str) -> str:
    times = {"created_at": "2026-01-01T00:00:00Z", "completed_at": None}
    fields = {"task": "Ask", "session_id": "s", "selected_agent": None, "peer_routing_reason": None}
    console = Console(width=60, record=True, file=io.StringIO())
    result = {"raw_output": raw_output, "citations": CITATIONS}
    print_task(console, rendered_task(task_id="t", result=result, **times, **fields))
    return console.export_text()


def test_sources_that_the_answer_lists_are_printed_once_with_whole_addresses() -> None:
    listed = "\n".join(f"{number}. {source['title']} — {source['url']}" for number, source in enumerate(CITATIONS, 1))
    text = shown_answer(f"An answer [1][2].\n\n## Sources\n\n{listed}")
    assert [text.count(source["url"]) for source in CITATIONS] == [1, 1]
    assert "[1] " not in text.partition("## Sources")[2]


@pytest.mark.parametrize("raw_output", ["An answer [1][2].", f"See {URL} and https://other.example.com/ for more."])
def test_sources_that_the_answer_does_not_list_are_printed_below_it(raw_output: str) -> None:
    below = shown_answer(raw_output).splitlines()[-4:]
    assert [line.strip() for line in below] == ["[1]  A page", URL, "[2]  Another page", "https://other.example.com/"]
