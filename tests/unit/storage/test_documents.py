"""Stored documents of this version and of others, as tasks and messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import TaskUnreadable
from app.storage.documents import BEGINNING_CHARACTERS, CUT_MARK, read_messages, read_task, to_answer

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LONG = "word " * BEGINNING_CHARACTERS
RESULT = {"summary": "s", "raw_output": LONG}


def document(*messages: object, **fields: Any) -> dict[str, Any]:
    """Builds a completed task."""
    times = dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), NOW)
    names = {"_id": "1", "tenant": "acme", "session_id": "s", "request_id": "r", "task": "Write much."}
    return {**names, **times, "status": "completed", "rev": 3, "messages": list(messages), **fields}


def message(role: str = "assistant", **fields: Any) -> dict[str, Any]:
    return {"role": role, "created_at": NOW, **fields}


@pytest.mark.parametrize("text", ["", "short", "x" * BEGINNING_CHARACTERS])
def test_a_short_answer_is_its_own_message(text: str) -> None:
    assert to_answer(text) == {"content": text}


def test_a_long_answer_is_read_from_the_result() -> None:
    stored = document(message("user", content="Write much."), message(**to_answer(LONG)), result=RESULT)

    assert [one.content for one in read_messages(stored)] == ["Write much.", LONG]
    assert [one.content for one in read_task(stored).messages] == ["Write much.", LONG]


def test_an_answer_that_the_version_before_stored_twice_is_read_as_it_is() -> None:
    stored = document(message(content=LONG), result=RESULT)

    assert [one.content for one in read_task(stored).messages] == [LONG]


@pytest.mark.parametrize("result", [None, "gone", {}, {"raw_output": 7}])
def test_without_a_result_the_beginning_is_all_there_is(result: object) -> None:
    stored = document(message(**to_answer(LONG)), "no message", result=result)

    assert [one.content for one in read_messages(stored)] == [LONG[:BEGINNING_CHARACTERS] + CUT_MARK]


@pytest.mark.parametrize("messages", ["text", 7, ["text"], [message(content=None)]])
def test_messages_of_another_form_make_a_task_unreadable(messages: object) -> None:
    with pytest.raises(TaskUnreadable):
        read_task(document(result=RESULT, messages=messages))
