"""Workers that die, stop, freeze or block."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.domain.task import TERMINAL
from app.errors import AttemptsExhausted
from tests.chaos.lab import (
    ARTICLE,
    CODE,
    LEASE_SECONDS,
    Lab,
    count_with_steps,
    fault,
    reckon,
    sit_through,
    statuses,
    submit_many,
    wait_for_calls,
)
from tests.chaos.switches import Switch
from tests.chaos.tickets import send_ticket
from tests.support.stack import NotInTime, Stack

TASKS = 10
SLOW = ["--latency-ms", "400"]


@contextmanager
def once() -> Iterator[Path]:
    """Names a file that does not exist yet: the first death leaves it behind."""
    with tempfile.TemporaryDirectory(prefix="ao-chaos-") as folder:
        yield Path(folder) / "died"


def _wait_for_death_and_restart(stack: Stack, name: str = "worker") -> None:
    stack.wait_until(lambda: not stack.parts[name].alive, seconds=20)
    stack.start(name)


@fault({Switch.REAPER: r"did not end .*processing \(queued claimed"})
def a_worker_dies_right_after_its_claim(lab: Lab, _: float) -> None:
    with once() as mark, lab.stack(worker=["--die-at", "claimed", "--once", str(mark)]) as stack:
        tasks = submit_many(stack, TASKS)
        _wait_for_death_and_restart(stack)
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed"}
        # A leader that had a gap of its own excuses the crash, but the task was claimed twice.
        assert max(task["attempts"] for task in ended) == 2


@fault({Switch.JOURNAL: "called at|was replaced"})
def a_worker_dies_while_models_answer(lab: Lab, _: float) -> None:
    with lab.stack(simulator=SLOW) as stack:
        tasks = submit_many(stack, TASKS, ARTICLE)
        wait_for_calls(stack, 2 * TASKS + 2)  # each task is classified and planned; some texts are being written
        stack.kill("worker")
        stack.start("worker")
        assert statuses(reckon(stack, tasks)) == {"completed"}


@fault({Switch.REAPER: r"did not end .*processing \(queued claimed", Switch.JOURNAL: "called at|was replaced"})
def a_worker_dies_before_it_stores_a_result(lab: Lab, _: float) -> None:
    with once() as mark, lab.stack(worker=["--die-at", "completing", "--once", str(mark)]) as stack:
        tasks = submit_many(stack, TASKS, ARTICLE)
        _wait_for_death_and_restart(stack)
        assert statuses(reckon(stack, tasks)) == {"completed"}


@fault({Switch.IDEMPOTENT_CLAIM: "claimed after"})
def a_worker_dies_before_it_acknowledges_a_ticket(lab: Lab, _: float) -> None:
    """Sends the ticket of a finished task again; Redis itself would deliver it an hour later."""
    with once() as mark, lab.stack(worker=["--die-at", "completed", "--once", str(mark)]) as stack:
        tasks = submit_many(stack, 1)
        _wait_for_death_and_restart(stack)
        stack.wait(tasks[0])
        for number in range(3):
            send_ticket(stack, tasks[0], number=number)
        tasks += submit_many(stack, 1)
        assert statuses(reckon(stack, tasks)) == {"completed"}


@fault({Switch.GRACE: r"2\} == \{1\}"})
def a_worker_with_short_tasks_is_asked_to_stop(lab: Lab, _: float) -> None:
    settings = {"AGENT_WORKER_GRACE_SECONDS": "20"}
    with lab.stack(workers=2, simulator=SLOW, settings=settings) as stack:
        tasks = submit_many(stack, 2 * TASKS)
        stack.wait_until(lambda: count_with_steps(stack, tasks) >= 2, seconds=20)
        process = stack.parts["worker"].process
        stack.parts["worker"].stop()
        ended = reckon(stack, tasks)
        assert process is not None
        assert process.returncode == 0
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended} == {1}


@fault({Switch.HAND_BACK: r"None.*\} == \{1\}"})
def a_worker_with_long_tasks_is_asked_to_stop(lab: Lab, _: float) -> None:
    """Hands back runs that do not end within the grace at a node boundary; they go on elsewhere, paid once."""
    settings = {"AGENT_WORKER_GRACE_SECONDS": "1"}
    with lab.stack(workers=2, simulator=["--latency-ms", "4000"], settings=settings) as stack:
        stack.parts["worker-2"].stop()
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
        stack.parts["worker"].stop()
        stack.parts["worker-2"].start()
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed"}
        assert {task.get("handbacks") for task in ended} == {1}
        assert {task.get("crashes", 0) for task in ended} == {0}
        assert stack.calls()["calls"] == 2 * TASKS


def _stall(lab: Lab, seconds: float, stall: Callable[[Stack], None]) -> None:
    """Stalls the first worker in the middle of its calls for longer than its lease; the second takes over."""
    lease_seconds = LEASE_SECONDS if seconds < 30 else 30.0
    settings = {"AGENT_LEASE_SECONDS": str(lease_seconds)}
    worker = ["--block-seconds", str(seconds)]
    with lab.stack(workers=2, simulator=["--latency-ms", "1500"], settings=settings, worker=worker) as stack:
        stack.parts["worker-2"].stop()
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
        stall(stack)
        tasks += submit_many(stack, 1)
        ended = reckon(stack, tasks, seconds=seconds + 2 * lease_seconds + 20)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended[:TASKS]} == {2}


@fault({Switch.REAPER: "no run_discarded"}, quick=[10], long=[60])
def a_worker_freezes(lab: Lab, seconds: float) -> None:
    def stall(stack: Stack) -> None:
        stack.parts["worker"].send_signal(signal.SIGSTOP)
        stack.parts["worker-2"].start()
        sit_through(seconds)
        stack.parts["worker"].send_signal(signal.SIGCONT)
        _must_log(stack, "worker", "run_discarded")

    _stall(lab, seconds, stall)


@fault({Switch.REAPER: "no run_discarded"}, quick=[15], long=[45])
def an_event_loop_blocks(lab: Lab, seconds: float) -> None:
    def stall(stack: Stack) -> None:
        stack.parts["worker"].send_signal(signal.SIGUSR2)
        stack.parts["worker-2"].start()
        sit_through(seconds)
        _must_log(stack, "worker", "run_discarded")

    _stall(lab, seconds, stall)


def _must_log(stack: Stack, part: str, message: str) -> None:
    def logged() -> bool:
        return any(line["message"] == message for line in stack.parts[part].log_lines())

    try:
        stack.wait_until(logged, seconds=30)
    except NotInTime:
        raise AssertionError(f"{part} logged no {message}") from None


@fault(
    {
        Switch.ATTEMPT_LIMIT: r"did not end .*(claimed requeued ?){3}",
        Switch.QUARANTINE: r"'failed'.*\} == \{'completed'\}",
    }
)
def a_task_kills_every_worker_that_claims_it(lab: Lab, _: float) -> None:
    worker = ["--die-at", "claimed", "--word", "poison"]
    with lab.stack(worker=worker, simulator=["--latency-ms", "700"]) as stack:
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
        poison = stack.submit(f"{CODE} Take poison.")["task_id"]
        _revive_until_all_ended(stack, [*tasks, poison], seconds=60)
        *healthy, poisoned = reckon(stack, [*tasks, poison])
        assert statuses(healthy) == {"completed"}
        assert poisoned["error"]["type"] == AttemptsExhausted.code
        assert poisoned["crashes"] == poisoned["max_attempts"]


def _revive_until_all_ended(stack: Stack, task_ids: list[str], *, seconds: float) -> None:
    worker = stack.parts["worker"]

    def ended() -> bool:
        if not worker.alive:
            worker.launch()
        with stack.database() as db:
            return bool(
                db["tasks"].count_documents({"_id": {"$in": task_ids}, "status": {"$nin": list(TERMINAL)}}) == 0
            )

    with suppress(NotInTime):  # the reckoning reports those that have not ended
        stack.wait_until(ended, seconds=seconds)
    if not worker.alive:
        worker.launch()
