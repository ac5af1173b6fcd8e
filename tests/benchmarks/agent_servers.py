"""`python -m tests.benchmarks.agent_servers`: the same work on this system and on LangGraph's development server.

A task is one model call to the simulator, with the same model, instructions and text on both sides. Here it is a task
for CodeAgent, named by the caller, so that no router is asked. There it is a run of a graph of one node
(`one_call_graphs.py`) that asks either by langchain's OpenAI model or by a bare HTTP request; each has a table.

One client hands in all tasks over HTTP, one POST each. It reads each task until it has ended, or has a POST answered at
its end. Each round starts both systems anew, one after the other, on the same machine.

The two do not promise the same. This system is API, worker, Valkey and a database on disk; it writes a task four
times, and a task outlives the end of every process. `langgraph dev` is one process that keeps its runs in memory and
writes them to files from time to time. It gets its best setting: as many jobs at once as the worker has slots, no
reloading, no check for calls that block, no log of requests. It asks the model for a whole answer, CodeAgent for a
stream of up to 30 pieces.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import aiohttp
import httpx

from app.cli.embedded.store_server import StoreServer
from app.domain.task import TaskStatus
from tests.benchmarks.hardware import describe_hardware
from tests.benchmarks.langgraph_server import Graph, LangGraphApi, missing_server, running_langgraph
from tests.benchmarks.load import ProductApi, TaskApi, submit_burst, submit_one_by_one
from tests.benchmarks.measured_stack import (
    SLOTS,
    WARM_UP_TASKS,
    choose_database,
    running_measured_stack,
    wait_for_projections,
)
from tests.benchmarks.process import cpu_seconds, resident_megabytes
from tests.benchmarks.table import Row, percentile, render
from tests.support.servers import Server
from tests.support.simulators import running_simulator
from tests.support.stack import NotInTime, Part

BURST_TASKS, SINGLES = 500, 20
ROUNDS = 3
MODEL = "sim-writer"  # a name that both sides ask over chat completions


class WrongAnswers(Exception):
    """The failure of a system to do the whole work, so that its figures say nothing."""


@dataclass(frozen=True)
class System:
    """A running system. `processes` are all of its own; `settle` waits for work that follows the end of tasks."""

    url: str
    api: TaskApi
    simulator_url: str
    processes: Sequence[Part | Server]
    settle: Callable[[], None]


@dataclass(frozen=True)
class Figures:
    """The figures of one system in one round.

    `burst_seconds` go from the first POST of the burst until the last task is read. `cpu_ms` is the CPU of all the
    system's processes per task of the burst; `idle_mb` is their memory before the first task. `single_ms` are the
    milliseconds of each single task, from its POST to its end.
    """

    burst_seconds: float
    cpu_ms: float
    idle_mb: float
    single_ms: Sequence[float]


RunningSystem = Callable[[], AbstractContextManager[System]]


def main() -> int:
    database = choose_database(__doc__)
    missing = missing_server()
    if missing is not None:
        return _fail(missing)
    print(f"{describe_hardware()}, {database.kind}", flush=True)
    try:
        figures = _measure_rounds(database)
    except (RuntimeError, WrongAnswers, NotInTime, aiohttp.ClientError, httpx.HTTPError, TimeoutError) as error:
        return _fail(str(error) or repr(error))
    ours = figures.pop("this system")
    for name, theirs in figures.items():
        print(f"\n{render(list(_compare(ours, theirs)), against=name)}")
    return 0


def _fail(reason: str) -> int:
    print(f"No comparison with LangGraph's development server: {reason}", file=sys.stderr)
    return 1


def _measure_rounds(database: StoreServer) -> dict[str, list[Figures]]:
    """Measures every system once a round, in turns, because the speed of a shared machine changes meanwhile."""
    systems: dict[str, RunningSystem] = {
        "this system": partial(_running_product, database),
        "LangGraph, langchain's model": partial(_running_peer, Graph.CHAT_OPENAI),
        "LangGraph, bare request": partial(_running_peer, Graph.BARE_REQUEST),
    }
    figures: dict[str, list[Figures]] = {name: [] for name in systems}
    for number in range(1, ROUNDS + 1):
        for name, running in systems.items():
            with running() as system:
                measured = _measure(system)
            figures[name].append(measured)
            single_ms = median(measured.single_ms)
            print(f"round {number}, {name}: {measured.burst_seconds:.2f} s, {single_ms:.1f} ms", flush=True)
    return figures


@contextmanager
def _running_product(database: StoreServer) -> Iterator[System]:
    with running_measured_stack(database, {"LLM_CODE_MODEL": MODEL}) as stack:
        parts = (part for name, part in stack.parts.items() if name != "simulator")
        processes: list[Part | Server] = [*parts, *stack.servers.values()]
        settle = partial(wait_for_projections, stack)
        yield System(stack.api_url, ProductApi(agent="CodeAgent"), stack.simulator_url, processes, settle)


@contextmanager
def _running_peer(graph: Graph) -> Iterator[System]:
    with running_simulator() as simulator, running_langgraph(simulator.url, model=MODEL, jobs=SLOTS) as server:
        yield System(server.url, LangGraphApi(graph), simulator.url, [server], lambda: None)


def _measure(system: System) -> Figures:
    """Measures the system. Raises WrongAnswers unless each task was answered by exactly one model call."""
    idle_mb = sum(resident_megabytes(process) for process in system.processes)
    warm_up = asyncio.run(submit_burst(system.url, WARM_UP_TASKS, system.api)).tasks
    system.settle()
    single_ms, singles = asyncio.run(submit_one_by_one(system.url, SINGLES, system.api))
    system.settle()
    cpu_began = _cpu_seconds(system)
    burst = asyncio.run(submit_burst(system.url, BURST_TASKS, system.api))
    system.settle()
    cpu_ms = (_cpu_seconds(system) - cpu_began) * 1000 / BURST_TASKS
    _check(system, [*warm_up, *singles, *burst.tasks])
    return Figures(burst.seconds, cpu_ms, idle_mb, single_ms)


def _cpu_seconds(system: System) -> float:
    return sum(cpu_seconds(process) for process in system.processes)


def _check(system: System, answers: Sequence[dict[str, Any]]) -> None:
    failed = [answer for answer in answers if not _has_succeeded(answer)]
    if failed:
        raise WrongAnswers(f"{len(failed)} of {len(answers)} tasks on {system.url} failed, the first as {failed[0]}")
    calls = httpx.get(f"{system.simulator_url}/simulator/calls", timeout=30).raise_for_status().json()["by_outcome"]
    if calls != {"ok": len(answers)}:
        raise WrongAnswers(f"{len(answers)} tasks on {system.url} should be as many model calls, and were {calls}")


def _has_succeeded(answer: dict[str, Any]) -> bool:
    """Returns whether a task, or a state in which a graph ended, is a good one."""
    return answer.get("status") in (TaskStatus.COMPLETED, "success") or bool(answer.get("text"))


def _compare(ours: Sequence[Figures], theirs: Sequence[Figures]) -> Iterator[Row]:
    """Yields medians of the rounds; the singles of all rounds count together."""

    def row(name: str, unit: str, read: Callable[[Sequence[Figures]], float]) -> Row:
        return Row(name, read(ours), unit, baseline=read(theirs))

    yield row(f"{BURST_TASKS} tasks until all are read", "s", lambda rounds: median(r.burst_seconds for r in rounds))
    yield row("single task, POST to its end, p50", "ms", lambda rounds: percentile(_singles(rounds), 0.5))
    yield row("single task, POST to its end, p95", "ms", lambda rounds: percentile(_singles(rounds), 0.95))
    yield row("CPU per task, all processes", "ms", lambda rounds: median(r.cpu_ms for r in rounds))
    yield row("idle system, memory", "MB", lambda rounds: median(r.idle_mb for r in rounds))


def _singles(rounds: Sequence[Figures]) -> list[float]:
    return [milliseconds for figures in rounds for milliseconds in figures.single_ms]


if __name__ == "__main__":
    sys.exit(main())
