"""Azure's path to OpenAI's chat completions: the deployment stands in the path, and the filter marks what it read.

The source of openai 3.52's Azure client was read: it sends `api-key`, and `api-version` as a parameter of the query.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp

from app.simulator.chat import ChatCompletions
from app.simulator.core import Endpoint, Simulator, error_response
from app.simulator.dialect import dump
from app.simulator.prompt import Answer, Json, Prompt
from app.simulator.scripted_faults import Failure

PATH = "/openai/deployments/{deployment:path}/chat/completions"
_NO_VERSION = Failure(404, "404", "Resource not found")
_UNFILTERED: Json = {
    name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")
}


class AzureChatCompletions(ChatCompletions):
    """Chat completions as Azure sends them: a stream begins with an event that has no choices."""

    def whole(self, prompt: Prompt, answer: Answer, *, answer_id: str) -> Json:
        body = super().whole(prompt, answer, answer_id=answer_id)
        choices = [{**choice, "content_filter_results": _UNFILTERED} for choice in body["choices"]]
        return {**body, "choices": choices, "prompt_filter_results": _prompt_results()}

    def events(self, prompt: Prompt, answer: Answer, *, answer_id: str, pieces: Sequence[str]) -> Sequence[bytes]:
        first: Json = {
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [],
            "prompt_filter_results": _prompt_results(),
        }
        told = super().events(prompt, answer, answer_id=answer_id, pieces=pieces)
        return [f"data: {dump(first)}\n\n".encode(), *told]


def _prompt_results() -> list[Json]:
    return [{"prompt_index": 0, "content_filter_results": _UNFILTERED}]


def endpoint(simulator: Simulator) -> Endpoint:
    dialect = AzureChatCompletions()
    answer = simulator.model_endpoint(dialect, model_in_path="deployment")

    async def ask(request: Request) -> ASGIApp:
        if not request.query_params.get("api-version"):
            return error_response(dialect, _NO_VERSION)
        return await answer(request)

    return ask
