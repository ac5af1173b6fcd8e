"""The simulator's own API: the calls so far, the faults and the recorded responses to come.

It needs no key, so never expose it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.simulator.credentials import PROVIDERS
from app.simulator.dialect import dump
from app.simulator.ledger import Ledger
from app.simulator.prompt import Json
from app.simulator.recordings import Recordings, parse_recording
from app.simulator.scripted_faults import NAMES, FaultRule, ScriptedFaults, is_known


def routes(faults: ScriptedFaults, recordings: Recordings, ledger: Ledger) -> list[Route]:
    return [Route("/health", _health, methods=["GET"]), *_calls(ledger), *_faults(faults), *_recordings(recordings)]


async def _health(_: Request) -> Response:
    return _json({"status": "ok"})


def _calls(ledger: Ledger) -> list[Route]:
    async def show_calls(request: Request) -> Response:
        task_id = request.query_params.get("task_id")
        return _json(ledger.summary() if task_id is None else ledger.of_task(task_id))

    async def clear_calls(_: Request) -> Response:
        ledger.clear()
        return Response(status_code=204)

    return _resource("/simulator/calls", GET=show_calls, DELETE=clear_calls)


def _faults(faults: ScriptedFaults) -> list[Route]:
    async def show_faults(_: Request) -> Response:
        return _json({"faults": [vars(rule) for rule in faults.rules], "known": sorted(NAMES)})

    async def add_fault(request: Request) -> Response:
        try:
            rule = _read_rule(json.loads(await request.body()))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return _json({"error": f"Not a fault: {error}", "known": sorted(NAMES)}, status_code=422)
        faults.rules.append(rule)
        return _json(vars(rule), status_code=201)

    async def clear_faults(_: Request) -> Response:
        faults.clear()
        return Response(status_code=204)

    return _resource("/simulator/faults", GET=show_faults, POST=add_fault, DELETE=clear_faults)


def _recordings(recordings: Recordings) -> list[Route]:
    async def show_recordings(_: Request) -> Response:
        return _json({"recordings": [recording.describe() for recording in recordings.waiting]})

    async def add_recording(request: Request) -> Response:
        try:
            recording = parse_recording(json.loads(await request.body()))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return _json({"error": f"Not a recording: {error}"}, status_code=422)
        recordings.waiting.append(recording)
        return _json(recording.describe(), status_code=201)

    async def clear_recordings(_: Request) -> Response:
        recordings.waiting.clear()
        return Response(status_code=204)

    return _resource("/simulator/recordings", GET=show_recordings, POST=add_recording, DELETE=clear_recordings)


def _resource(path: str, **endpoints: Callable[[Request], Awaitable[Response]]) -> list[Route]:
    return [Route(path, endpoint, methods=[method]) for method, endpoint in endpoints.items()]


def _read_rule(wish: Json) -> FaultRule:
    """Reads a fault from a request. Raises ValueError, KeyError or TypeError if it makes no sense."""
    fault, provider, times = str(wish["fault"]), wish.get("provider"), wish.get("times")
    fault = fault.removeprefix("sim-")
    # A misspelt field would otherwise switch the fault on for every model.
    unknown = sorted(set(wish) - {"fault", "model", "provider", "times", "text"})
    if unknown:
        raise ValueError(f"unknown fields {unknown}")
    if not is_known(fault):
        raise ValueError(f"unknown fault {fault}")
    if provider is not None and provider not in PROVIDERS:
        raise ValueError(f"unknown provider {provider}")
    return FaultRule(
        fault=fault,
        model=wish.get("model"),
        provider=provider,
        times=None if times is None else max(0, int(times)),
        text=None if wish.get("text") is None else str(wish["text"]),
    )


def _json(value: Json, *, status_code: int = 200) -> Response:
    return Response(dump(value), status_code=status_code, media_type="application/json")
