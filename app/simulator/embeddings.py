"""OpenAI's `/v1/embeddings`: every word has directions of its own, so texts with common words are near each other."""

from __future__ import annotations

import base64
import json
import math
import re
import sys
import zlib
from array import array
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from app.simulator.chat import ChatCompletions
from app.simulator.core import Simulator, Target, error_response
from app.simulator.credentials import check_credential
from app.simulator.ledger import Call
from app.simulator.prompt import Json, count_tokens
from app.simulator.scripted_faults import Failure, FaultPlan

_WORD = re.compile(r"\w+")
_DEFAULT_DIMENSIONS = 1536
_DIRECTIONS_PER_WORD = 4
_MALFORMED = Failure(400, "invalid_request", "No model or no input.")


def embed(text: str, dimensions: int) -> array[float]:
    """Computes a unit vector of 32-bit floats."""
    vector = array("f", bytes(4 * dimensions))
    # crc32, because Python's hash of a text differs between processes.
    for word in _WORD.findall(text.lower()) or [text]:
        mixed = zlib.crc32(word.encode())
        for turn in range(_DIRECTIONS_PER_WORD):
            mixed = zlib.crc32(bytes((turn,)), mixed)
            vector[mixed % dimensions] += 1.0 if mixed & 0x10000 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return array("f", [value / length for value in vector])


def endpoint(simulator: Simulator) -> Callable[[Request], Awaitable[ASGIApp]]:
    async def embeddings(request: Request) -> ASGIApp:
        try:
            payload: Json = json.loads(await request.body())
            target, texts = Target("openai", "embeddings", str(payload["model"])), _texts(payload["input"])
        except (KeyError, TypeError, ValueError):
            return _refusal(check_credential(request.headers, "openai") or _MALFORMED)

        def respond(call: Call, plan: FaultPlan) -> ASGIApp:
            tokens = sum(count_tokens(len(text)) for text in texts)
            return simulator.send_json(call, plan, _listing(payload, texts, tokens), tokens=(tokens, 0))

        return await simulator.serve(request, target, refuse=_refusal, respond=respond)

    return embeddings


def _refusal(failure: Failure) -> Response:
    return error_response(ChatCompletions(), failure)


def _texts(given: str | Sequence[str | int | Sequence[int]]) -> list[str]:
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):  # a text as a list of token ids
        return [" ".join(map(str, given))]
    return [text if isinstance(text, str) else " ".join(map(str, text)) for text in given if not isinstance(text, int)]


def _listing(payload: Json, texts: Sequence[str], tokens: int) -> Json:
    dimensions = int(payload.get("dimensions") or _DEFAULT_DIMENSIONS)
    packed = payload.get("encoding_format") == "base64"
    data = []
    for at, text in enumerate(texts):
        vector = embed(text, dimensions)
        if packed and sys.byteorder == "big":  # OpenAI's base64 is little-endian
            vector.byteswap()
        value = base64.b64encode(vector.tobytes()).decode() if packed else vector.tolist()
        data.append({"object": "embedding", "index": at, "embedding": value})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": payload["model"], "usage": usage}
