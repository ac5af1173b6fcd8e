"""The interface of a provider's API to the simulator, with the helpers that all dialects share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from app.simulator.prompt import Answer, Json, Prompt
from app.simulator.scripted_faults import Failure

CREATED = 1_767_225_600  # all answers have the same time: the same input gives the same bytes


class Unacceptable(Exception):
    """A request that breaks a rule of the provider's API."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Dialect(Protocol):
    """The form of requests, answers and errors of one endpoint."""

    provider: str
    endpoint: str

    def read(self, payload: Json) -> Prompt:
        """Reads a request. Raises Unacceptable, or KeyError, TypeError, ValueError or AttributeError if malformed."""

    def whole(self, prompt: Prompt, answer: Answer, *, answer_id: str) -> Json:
        """Writes an answer in one piece."""

    def events(self, prompt: Prompt, answer: Answer, *, answer_id: str, pieces: Sequence[str]) -> Sequence[bytes]:
        """Writes an answer as the events of a stream; `pieces` are the parts of its text."""

    def error(self, failure: Failure) -> Json:
        """Writes the body of an error response."""


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def text_of(content: Any) -> str:
    """Reads the text of a message's content: a string, or a list of parts of which only the text counts."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    return "\n".join(str(part.get("text") or part.get("refusal") or "") for part in content)


def refuse(message: str, *, code: str = "invalid_request", status: int = 400) -> Unacceptable:
    return Unacceptable(Failure(status, code, message))
