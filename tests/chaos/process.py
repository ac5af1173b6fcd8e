"""`python -m tests.chaos.process api|worker`: the product's process, which dies or stalls on request.

`--die-at` names the moment of a SIGKILL to itself; `--once` is a file that the first death leaves behind, so that only
one happens. `--switch-off` breaks a safety rule (see `tests.chaos.switches`). `--newer` makes the process a worker of a
later version. `--faults-of tenant=fault,fault` makes the simulator fail for one tenant, with the next fault at each
call. SIGUSR2 blocks a worker's event loop for `--block-seconds`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from app import main as api
from app.broker.queue import CeleryTaskQueue
from app.llm.gateway import GatewayLLM, LLMGateway, build_gateway
from app.storage.careful_writes import CarefulWrites
from app.storage.claims import MongoClaimRepository
from app.storage.leadership import MongoLeaderLock
from app.storage.tasks import MongoTaskRepository
from app.system_clock import SystemClock
from tests.chaos.newer_version import become_newer
from tests.chaos.switches import Switch, turn_off
from worker import __main__ as worker


class Death:
    """A SIGKILL of this process, once or every time, for tasks whose text contains a word or for all."""

    def __init__(self, once: Path | None, word: str) -> None:
        self._once = once
        self._word = word

    def may_strike(self, text: str) -> None:
        if self._word not in text:
            return
        if self._once is not None:
            try:
                self._once.touch(exist_ok=False)
            except FileExistsError:
                return
        os.kill(os.getpid(), signal.SIGKILL)


def _after_claim(death: Death) -> None:
    claim = MongoClaimRepository.claim

    async def claim_and_die(self: Any, task_id: Any, **options: Any) -> Any:
        task = await claim(self, task_id, **options)
        if task is not None:
            death.may_strike(task.task)
        return task

    patch.object(MongoClaimRepository, "claim", claim_and_die).start()


def _before_result(death: Death) -> None:
    async def die(self: Any, *args: Any) -> bool:
        death.may_strike("")
        return await complete(self, *args)

    complete = MongoClaimRepository.complete
    patch.object(MongoClaimRepository, "complete", die).start()


def _after_result(death: Death) -> None:
    async def complete_and_die(self: Any, *args: Any) -> bool:
        stored = await complete(self, *args)
        death.may_strike("")
        return stored

    complete = MongoClaimRepository.complete
    patch.object(MongoClaimRepository, "complete", complete_and_die).start()


def _before_publish(death: Death) -> None:
    def die(self: Any, tickets: Any) -> None:
        death.may_strike("")
        send(self, tickets)

    send = CeleryTaskQueue._send
    patch.object(CeleryTaskQueue, "_send", die).start()


def _after_insert(death: Death) -> None:
    insert = MongoTaskRepository.insert

    async def insert_and_die(self: Any, task: Any, **options: Any) -> Any:
        stored = await insert(self, task, **options)
        death.may_strike(task.task)
        return stored

    patch.object(MongoTaskRepository, "insert", insert_and_die).start()


MOMENTS: dict[str, Callable[[Death], None]] = {
    "claimed": _after_claim,
    "completing": _before_result,
    "completed": _after_result,
    "publishing": _before_publish,
    "inserted": _after_insert,
}


def _everybody_leads(reap_pause_seconds: float) -> None:
    """Makes every API process take itself for the leader, with a reaper that pauses before each write."""

    async def acquire(self: MongoLeaderLock, owner: str, *, seconds: float) -> bool:
        return True

    patch.object(MongoLeaderLock, "acquire", acquire).start()
    write_each = CarefulWrites.write_each

    async def write_one_by_one(self: CarefulWrites, writes: Sequence[Any]) -> int:
        matched = 0
        for write in writes:
            await asyncio.sleep(reap_pause_seconds)
            matched += await write_each(self, [write])
        return matched

    patch.object(CarefulWrites, "write_each", write_one_by_one).start()


class Blocker:
    """The handler of SIGUSR2: it blocks the event loop that the gateway was built on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        signal.signal(signal.SIGUSR2, lambda *_: self._block())

    def make_gateway(self, *args: Any, **options: Any) -> LLMGateway:
        self._loop = asyncio.get_running_loop()
        return build_gateway(*args, **options)

    def _block(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(time.sleep, self._seconds)


def _fail_for_tenants(scripts: Sequence[str]) -> None:
    headers = GatewayLLM._headers
    scripted = (script.partition("=") for script in scripts)
    faults = {tenant: itertools.cycle(names.split(",")) for tenant, _, names in scripted}

    def headers_with_fault(self: GatewayLLM) -> dict[str, str]:
        turn = faults.get(self._scope.tenant)
        return headers(self) if turn is None else {**headers(self), "X-Simulator-Fault": next(turn)}

    patch.object(GatewayLLM, "_headers", headers_with_fault).start()


def _shift_clock(seconds: float) -> None:
    now = SystemClock.now
    patch.object(SystemClock, "now", lambda clock: now(clock) + timedelta(seconds=seconds)).start()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos.process")
    parser.add_argument("kind", choices=["api", "worker"])
    parser.add_argument("--die-at", choices=sorted(MOMENTS))
    parser.add_argument("--word", default="")
    parser.add_argument("--once", type=Path)
    parser.add_argument("--switch-off", type=Switch, action="append", default=[])
    parser.add_argument("--everybody-leads", type=float)
    parser.add_argument("--block-seconds", type=float, default=0.0)
    parser.add_argument("--clock-offset", type=float, default=0.0)
    parser.add_argument("--newer", action="store_true")
    parser.add_argument("--faults-of", action="append", default=[])
    chosen = parser.parse_args(arguments)
    for switch in chosen.switch_off:
        turn_off(switch)
    if chosen.die_at is not None:
        MOMENTS[chosen.die_at](Death(chosen.once, chosen.word))
    if chosen.everybody_leads is not None:
        _everybody_leads(chosen.everybody_leads)
    if chosen.newer:
        become_newer()
    _fail_for_tenants(chosen.faults_of)
    _shift_clock(chosen.clock_offset)
    if chosen.kind == "api":
        return api.main()
    return worker.main(Blocker(chosen.block_seconds).make_gateway)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
