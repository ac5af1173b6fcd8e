"""Streamed answers that the simulator sends byte by byte as they were recorded, one for each protocol of models.

The events have the form in which the vendor sends them, each with one token of text in a write of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from app.simulator import chat, messages, responses
from app.simulator.dialect import Dialect
from app.simulator.prompt import Answer, Prompt, Turn
from tests.support.corpus import PROTOCOLS
from tests.support.simulators import running_simulator

QUESTION = "Write a short article about tidal energy."
_DIALECTS: dict[str, Dialect] = {
    "chat": chat.ChatCompletions(),
    "responses": responses.Responses(),
    "messages": messages.Messages(),
}


@dataclass(frozen=True)
class RecordedStreams:
    """A simulator with one recording for the model of each protocol. `text` is the whole answer, in all of them."""

    url: str
    chunks: int
    text: str


@contextmanager
def recorded_streams(*, chunks: int, pause_ms: int) -> Iterator[RecordedStreams]:
    """Starts a simulator that answers with `chunks` pieces of text, and waits `pause_ms` between two writes."""
    tokens = [f" {number:04}" for number in range(chunks)]
    with running_simulator() as simulator:
        for protocol, (_, model) in PROTOCOLS.items():
            recording = {
                "model": model,
                "headers": {"content-type": "text/event-stream"},
                "pieces": [event.decode() for event in _events(protocol, model, tokens)],
                "pause_ms": pause_ms,
            }
            httpx.post(f"{simulator.url}/simulator/recordings", json=recording).raise_for_status()
        yield RecordedStreams(simulator.url, chunks, "".join(tokens))


def _events(protocol: str, model: str, tokens: Sequence[str]) -> Sequence[bytes]:
    prompt = Prompt(model, (Turn("user", QUESTION),), stream=True, stream_usage=True)
    return _DIALECTS[protocol].events(prompt, Answer("".join(tokens)), answer_id="recorded", pieces=tokens)
