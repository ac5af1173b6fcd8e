"""Conversion of stored documents into tasks.

Other versions may have written them. A field that this version does not know is kept; a document that it cannot read is
left as it is. A long answer is in the document once, as the result: the message that is the answer holds its beginning,
and gets the whole text when it is read. Versions that do not know this show the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from motor.core import AgnosticCursor
from pydantic import ValidationError

from app.domain.agent import Citation
from app.domain.message import Message, MessageRole
from app.domain.task import Task
from app.errors import TaskUnreadable
from app.telemetry.logs import get_logger

# Of a longer answer the message holds the beginning. A shorter one costs little, and most are shorter.
BEGINNING_CHARACTERS = 2_000
CUT_MARK = "\n[…]"
# Documents that a server sends at once, in memory together: a task with the longest answer has four to eight MiB.
READ_AT_ONCE = 4

_log = get_logger(__name__)


def to_answer(raw_output: str) -> dict[str, Any]:
    """Builds the fields for the text of the message that is the result."""
    if len(raw_output) <= BEGINNING_CHARACTERS:
        return {"content": raw_output}
    return {"content": raw_output[:BEGINNING_CHARACTERS] + CUT_MARK, "is_result": True}


def read_task(document: dict[str, Any]) -> Task:
    """Converts a stored document; fields that this version does not know stay in the task.

    Raises TaskUnreadable if another version wrote a field in a way that this one does not understand.
    """
    whole = {**document, "id": document["_id"]}
    if isinstance(document.get("messages"), list):
        whole["messages"] = _whole_messages(document)
    try:
        return Task.model_validate(whole)
    except ValidationError as error:
        log_unreadable(document, error)
        raise TaskUnreadable(
            f"Task {document['_id']} was written by another version of this program and cannot be read by this one; "
            "nothing of it is lost. Ask again when the upgrade is complete."
        ) from None  # the validation error quotes the task's text and its result, which logs must not hold


def read_messages(document: dict[str, Any]) -> list[Message]:
    """Reads the messages of a stored task, without those of a kind that this version does not know."""
    messages = []
    for message in _whole_messages(document):
        try:
            messages.append(Message.model_validate(message))
        except ValidationError as error:
            log_unreadable(document, error)
    return messages


def _whole_messages(document: Mapping[str, Any]) -> Sequence[Any]:
    """Returns the messages, the answer with the text of the result."""
    messages: Sequence[Any] = document.get("messages") or ()
    result = document.get("result")
    if not isinstance(result, dict) or not isinstance(result.get("raw_output"), str):
        return messages
    text = result["raw_output"]
    return [
        {**message, "content": text} if isinstance(message, dict) and message.get("is_result") else message
        for message in messages
    ]


def read_turns(document: dict[str, Any]) -> list[Message]:
    """Reads the messages of a completed task. Its answer gets the citations, which the document has in the result."""
    messages = read_messages(document)
    if messages and messages[-1].role is MessageRole.ASSISTANT:
        messages[-1] = messages[-1].model_copy(update={"citations": tuple(_read_citations(document))})
    return messages


async def read_until_full(found: AgnosticCursor[dict[str, Any]], *, characters: int) -> list[dict[str, Any]]:
    """Reads documents until their messages and results have so many characters together; always reads the first one."""
    documents: list[dict[str, Any]] = []
    try:
        async for document in found.batch_size(READ_AT_ONCE):
            documents.append(document)
            characters -= _characters(document)
            if characters <= 0:
                break
    finally:
        await found.close()
    return documents


def _characters(document: Mapping[str, Any]) -> int:
    texts = [message.get("content") for message in document.get("messages") or () if isinstance(message, dict)]
    result = document.get("result")
    if isinstance(result, dict):
        texts.append(result.get("raw_output"))
    return sum(len(text) for text in texts if isinstance(text, str))


def _read_citations(document: dict[str, Any]) -> list[Citation]:
    """Reads the citations of the result; none of them if one is of a kind that this version does not know."""
    try:
        return [Citation.model_validate(citation) for citation in (document.get("result") or {}).get("citations") or ()]
    except ValidationError as error:
        log_unreadable(document, error)
        return []  # not the others: the numbers in the text count all of them


def log_unreadable(document: Mapping[str, Any], error: ValidationError) -> None:
    """Logs the names of the fields that this version does not understand, never their content."""
    fields = sorted({str(problem["loc"][0]) for problem in error.errors(include_input=False) if problem["loc"]})
    _log.warning("task_not_understood", task_id=document["_id"], fields=fields)
