"""What a provider's API has to tell the simulator about itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from app.simulator.prompt import Answer, Json, Prompt
from app.simulator.scripted_faults import Failure

CREATED = 1_767_225_600  # every answer is of the same second: the same input gives the same bytes


class Unacceptable(Exception):
    """The request breaks a rule of the provider's API."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Dialect(Protocol):
    """One endpoint's way to write requests, answers and errors."""

    provider: str
    endpoint: str

    def read(self, payload: Json) -> Prompt:
        """Raises Unacceptable, or KeyError, TypeError, ValueError or AttributeError for a malformed payload."""

    def whole(self, prompt: Prompt, answer: Answer, *, answer_id: str) -> Json: ...

    def events(self, prompt: Prompt, answer: Answer, *, answer_id: str, pieces: Sequence[str]) -> Sequence[bytes]: ...

    def error(self, failure: Failure) -> Json: ...


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts of which only the text counts."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    return "\n".join(str(part.get("text") or part.get("refusal") or "") for part in content)


def refuse(message: str, *, code: str = "invalid_request", status: int = 400) -> Unacceptable:
    return Unacceptable(Failure(status, code, message))
