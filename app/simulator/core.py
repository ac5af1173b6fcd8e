"""The part that all endpoints share: record the call, wait, fail as scripted, answer, record the outcome."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from app.simulator.answers.compose import compose_answer
from app.simulator.credentials import check_credential
from app.simulator.dialect import Dialect, Unacceptable, dump
from app.simulator.ledger import OK, RECORDED, Call, Ledger
from app.simulator.prompt import Json
from app.simulator.recordings import Recording, Recordings
from app.simulator.scripted_faults import Failure, FaultPlan, ScriptedFaults
from app.simulator.streams import ChunkedResponse, halves, split_text

# Events are coalesced into few writes: the simulator shares its CPU with the product under test.
_EVENTS_PER_WRITE = 8
_JSON = b"application/json"
_EVENTS = b"text/event-stream; charset=utf-8"
_MALFORMED = Failure(400, "invalid_request", "The body is not a request of this endpoint.")
_MALFORMED_ERRORS = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class SimulatorConfig:
    """The pace of answers: `latency_ms` before each; a stream has at most `chunks` pieces, `chunk_delay_ms` apart."""

    latency_ms: int = 0
    chunks: int = 30
    chunk_delay_ms: int = 0


@dataclass(frozen=True)
class Target:
    """The part of a provider that a request is for."""

    provider: str
    endpoint: str
    model: str


Endpoint = Callable[[Request], Awaitable[ASGIApp]]
Refuse = Callable[[Failure], Response]
Respond = Callable[[Call, FaultPlan], ASGIApp]


class Simulator:
    """Everything the server remembers between requests."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.faults = ScriptedFaults()
        self.recordings = Recordings()
        self.ledger = Ledger()

    def model_endpoint(self, dialect: Dialect, *, model_in_path: str | None = None) -> Endpoint:
        """Builds the endpoint of a model API. `model_in_path` names the part of the path that replaces `model`."""

        def refuse(failure: Failure) -> Response:
            return error_response(dialect, failure)

        async def endpoint(request: Request) -> ASGIApp:
            try:
                payload: Json = json.loads(await request.body())
                if model_in_path is not None:
                    payload = {**payload, "model": request.path_params[model_in_path]}
                target = Target(dialect.provider, dialect.endpoint, str(payload["model"]))
            except _MALFORMED_ERRORS:
                return refuse(check_credential(request.headers, dialect.provider) or _MALFORMED)
            return await self.serve(
                request, target, refuse=refuse, respond=lambda call, plan: self._answer(dialect, payload, plan, call)
            )

        return endpoint

    async def serve(self, request: Request, target: Target, *, refuse: Refuse, respond: Respond) -> ASGIApp:
        """Records the call, then refuses its credential, serves a recording, fails as scripted, or calls `respond`.

        `respond` may raise Unacceptable, or the error of a part of the request that is malformed.
        """
        call = self._begin(request, target, await request.body())
        failure = check_credential(request.headers, target.provider)
        if failure is not None:
            return self._refused(call, failure, refuse)
        plan = self._plan(request, target, await request.body())
        recording = self.recordings.take(target.model)
        await self._wait(plan)
        if recording is not None:
            return self._replay(recording, call, plan)
        if plan.failure is not None:
            self.ledger.finish(call, plan.name)
            return refuse(plan.failure)
        try:
            return respond(call, plan)
        except Unacceptable as refusal:
            return self._refused(call, refusal.failure, refuse)
        except _MALFORMED_ERRORS:
            return self._refused(call, _MALFORMED, refuse)

    def send_json(self, call: Call, plan: FaultPlan, body: Json, *, tokens: tuple[int, int] = (0, 0)) -> ASGIApp:
        """Answers in one piece."""
        return self._chunked(call, plan, halves(dump(body).encode()), _JSON, tokens)

    def _begin(self, request: Request, target: Target, body: bytes) -> Call:
        headers = request.headers
        return self.ledger.begin(
            provider=target.provider,
            endpoint=target.endpoint,
            model=target.model,
            task_id=_task_id(request),
            # The product sends Tavily the request id as its session id.
            request_id=headers.get("x-request-id") or headers.get("x-session-id", ""),
            step=headers.get("x-step", ""),
            # A checksum of the body, not a random id: the same request gets the same bytes, ids included.
            fingerprint=f"{zlib.crc32(body):08x}",
        )

    def _plan(self, request: Request, target: Target, body: bytes) -> FaultPlan:
        return self.faults.plan(
            provider=target.provider,
            model=target.model,
            header=request.headers.get("x-simulator-fault", ""),
            task_id=_task_id(request),
            body=body,
        )

    async def _wait(self, plan: FaultPlan) -> None:
        latency_ms = self.config.latency_ms + plan.latency_ms
        if latency_ms:
            await asyncio.sleep(latency_ms / 1000)

    def _refused(self, call: Call, failure: Failure, refuse: Refuse) -> Response:
        self.ledger.finish(call, failure.code)
        return refuse(failure)

    def _answer(self, dialect: Dialect, payload: Json, plan: FaultPlan, call: Call) -> ASGIApp:
        prompt = dialect.read(payload)
        answer = compose_answer(prompt, plan.effects, seed=call.fingerprint, verbose_characters=plan.verbose_characters)
        tokens = (prompt.input_tokens, answer.output_tokens)
        if not prompt.stream:
            return self.send_json(call, plan, dialect.whole(prompt, answer, answer_id=call.fingerprint), tokens=tokens)
        pieces = split_text(answer.text, self.config.chunks)
        events = dialect.events(prompt, answer, answer_id=call.fingerprint, pieces=pieces)
        return self._chunked(call, plan, list(events), _EVENTS, tokens)

    def _chunked(
        self, call: Call, plan: FaultPlan, chunks: list[bytes], content_type: bytes, tokens: tuple[int, int]
    ) -> ASGIApp:
        def end(complete: bool) -> None:
            counted = (tokens[0], tokens[1] if complete else 0)
            self._finish(call, plan, plan.name or OK, complete=complete, tokens=counted)

        streamed = content_type is _EVENTS
        delay_ms = (self.config.chunk_delay_ms + plan.drip_ms) if streamed else 0
        return ChunkedResponse(
            chunks,
            [(b"content-type", content_type), (b"x-request-id", f"req_{call.number}".encode())],
            end,
            delay_seconds=delay_ms / 1000,
            chunks_per_write=1 if delay_ms else _EVENTS_PER_WRITE,
            transport=plan.transport,
        )

    def _replay(self, recording: Recording, call: Call, plan: FaultPlan) -> ASGIApp:
        def end(complete: bool) -> None:
            self._finish(call, plan, RECORDED, complete=complete)

        return ChunkedResponse(
            recording.pieces,
            recording.headers,
            end,
            status=recording.status,
            delay_seconds=(recording.pause_ms + plan.drip_ms) / 1000,
            transport=plan.transport,
        )

    def _finish(
        self, call: Call, plan: FaultPlan, outcome: str, *, complete: bool, tokens: tuple[int, int] = (0, 0)
    ) -> None:
        # A client that hangs up did so by itself, unless a scripted transport fault made it.
        ended = outcome if complete or plan.transport else "disconnected"
        self.ledger.finish(call, ended, input_tokens=tokens[0], output_tokens=tokens[1])


def _task_id(request: Request) -> str:
    return request.headers.get("x-task-id", "")


def error_response(dialect: Dialect, failure: Failure) -> Response:
    headers = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
    content = dump(dialect.error(failure))
    return Response(content, status_code=failure.status, headers=headers, media_type="application/json")
