"""Conversion of stored documents into tasks.

Other versions may have written them. A field that this version does not know is kept; a document that it cannot read is
left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from app.domain.agent import Citation
from app.domain.message import Message, MessageRole
from app.domain.task import Task
from app.errors import TaskUnreadable
from app.telemetry.logs import get_logger

_log = get_logger(__name__)


def read_task(document: dict[str, Any]) -> Task:
    """Converts a stored document; fields that this version does not know stay in the task.

    Raises TaskUnreadable if another version wrote a field in a way that this one does not understand.
    """
    try:
        return Task.model_validate({**document, "id": document["_id"]})
    except ValidationError as error:
        log_unreadable(document, error)
        raise TaskUnreadable(
            f"Task {document['_id']} was written by another version of this program and cannot be read by this one; "
            "nothing of it is lost. Ask again when the upgrade is complete."
        ) from None  # the validation error quotes the task's text and its result, which logs must not hold


def read_messages(document: dict[str, Any]) -> list[Message]:
    """Reads the messages of a stored task, without those of a kind that this version does not know."""
    messages = []
    for message in document.get("messages") or ():
        try:
            messages.append(Message.model_validate(message))
        except ValidationError as error:
            log_unreadable(document, error)
    return messages


def read_turns(document: dict[str, Any]) -> list[Message]:
    """Reads the messages of a completed task. Its answer gets the citations, which the document has in the result."""
    messages = read_messages(document)
    if messages and messages[-1].role is MessageRole.ASSISTANT:
        messages[-1] = messages[-1].model_copy(update={"citations": tuple(_read_citations(document))})
    return messages


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
