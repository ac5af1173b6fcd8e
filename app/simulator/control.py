"""The simulator's own API: the calls so far, and the faults to come. It needs no key, so never expose it."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.simulator.dialect import dump
from app.simulator.ledger import Ledger
from app.simulator.prompt import Json
from app.simulator.scripted_faults import NAMES, FaultRule, ScriptedFaults, is_known

PROVIDERS = frozenset({"openai", "anthropic", "tavily"})


def routes(faults: ScriptedFaults, ledger: Ledger) -> list[Route]:
    async def health(_: Request) -> Response:
        return _json({"status": "ok"})

    async def show_calls(request: Request) -> Response:
        task_id = request.query_params.get("task_id")
        return _json(ledger.summary() if task_id is None else ledger.of_task(task_id))

    async def clear_calls(_: Request) -> Response:
        ledger.clear()
        return Response(status_code=204)

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

    return [
        Route("/health", health, methods=["GET"]),
        Route("/simulator/calls", show_calls, methods=["GET"]),
        Route("/simulator/calls", clear_calls, methods=["DELETE"]),
        Route("/simulator/faults", show_faults, methods=["GET"]),
        Route("/simulator/faults", add_fault, methods=["POST"]),
        Route("/simulator/faults", clear_faults, methods=["DELETE"]),
    ]


def _read_rule(wish: Json) -> FaultRule:
    """Reads a fault from a request. Raises ValueError, KeyError or TypeError if it makes no sense."""
    fault, provider, times = str(wish["fault"]), wish.get("provider"), wish.get("times")
    fault = fault.removeprefix("sim-")
    # A misspelt field would otherwise switch the fault on for every model.
    unknown = sorted(set(wish) - {"fault", "model", "provider", "times"})
    if unknown:
        raise ValueError(f"unknown fields {unknown}")
    if not is_known(fault):
        raise ValueError(f"unknown fault {fault}")
    if provider is not None and provider not in PROVIDERS:
        raise ValueError(f"unknown provider {provider}")
    return FaultRule(
        fault=fault, model=wish.get("model"), provider=provider, times=None if times is None else max(0, int(times))
    )


def _json(value: Json, *, status_code: int = 200) -> Response:
    return Response(dump(value), status_code=status_code, media_type="application/json")
