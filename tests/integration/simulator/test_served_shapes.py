"""The simulator can serve every shape of the corpus: the product reads the same from it as from the server."""

from __future__ import annotations

import base64

import httpx
import pytest

from tests.support.corpus import Shape, outcome_of, read_corpus
from tests.support.model_server import adapting

# The base URL of each protocol ends before its path.
_BASE_PATHS = {"chat": "/v1", "responses": "/v1", "messages": ""}


@pytest.mark.parametrize("shape", read_corpus(), ids=lambda shape: shape.name)
async def test_a_shape_is_served_as_it_was_recorded(shape: Shape, simulator: str, control: httpx.Client) -> None:
    _record(shape, control)
    async with adapting(simulator + _BASE_PATHS[shape.protocol], provider=shape.provider) as adapter:
        assert await outcome_of(shape, adapter) == shape.expected


def _record(shape: Shape, control: httpx.Client) -> None:
    middle = len(shape.body) // 2
    pieces = [{"base64": base64.b64encode(piece).decode()} for piece in (shape.body[:middle], shape.body[middle:])]
    recording = {"model": shape.model, "status": shape.status, "headers": dict(shape.headers), "pieces": pieces}
    control.post("/simulator/recordings", json={**recording, "times": 1}).raise_for_status()
