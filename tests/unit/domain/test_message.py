"""Messages as other versions store them."""

from __future__ import annotations

from datetime import UTC, datetime

from app.domain.message import Message, MessageRole

STORED = {"role": "assistant", "content": "A [1].", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}


def test_a_message_of_an_older_version_has_no_citations() -> None:
    message = Message.model_validate(STORED)
    assert (message.role, message.agent_name, message.citations) == (MessageRole.ASSISTANT, None, ())


def test_fields_of_a_newer_version_do_not_make_a_message_unreadable() -> None:
    assert Message.model_validate({**STORED, "footnotes": [{"page": 7}]}) == Message.model_validate(STORED)
