"""Tenants whose model hangs, whose prompts are refused or who are told to wait, beside tenants with the same model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tests.chaos.lab import CODE, Lab, fault, reckon, script, statuses
from tests.chaos.switches import Switch
from tests.support.invariants import Document
from tests.support.stack import Stack

FAILURES = 2
TASKS = 10
# One model, so that nobody can be answered by another one.
ONE_MODEL = {"FF_AGENTS_LLM_FALLBACK": "false"}
SETTINGS = {
    **ONE_MODEL,
    "AGENT_LLM_SILENCE_SECONDS": "5",
    "AGENT_BREAKER_FAILURES": str(FAILURES),
    # Failures that are further apart than this are no row, and the second call is given twice the silence.
    "AGENT_BREAKER_RESET_SECONDS": "15",
    "AGENT_RETRY_AFTER_CAP_SECONDS": "2",
}
MISBEHAVIOUR = [
    "--faults-of",
    "slow=hang",
    "--faults-of",
    "refused=refusal,policy",
    "--faults-of",
    "limited=429-long-once",
]
# Longer than a worker takes to start, so that it starts within the pause.
PAUSE_SECONDS = 8.0
LONGEST_PAUSE_SECONDS = PAUSE_SECONDS * 1.2  # breakers that opened together do not probe together
# A task that was refused comes back this long after the pause at the latest.
RETURN_SECONDS = 5.0
PAUSING = {
    **ONE_MODEL,
    "AGENT_BREAKER_FAILURES": str(FAILURES),
    "AGENT_BREAKER_RESET_SECONDS": str(PAUSE_SECONDS),
}
# The other tasks come back while the probe waits for its answer.
SLOWLY_DOWN = {"fault": "slow-2000+down"}


@fault(
    {
        Switch.TASK_COUNT: "refused beside a task whose model hangs",
        Switch.CONTENT_FAULTS: "refused beside prompts that the model refuses",
        Switch.FREE_REFUSALS: r"'failed'.*\} == \{'completed'\}",
        Switch.RETRY_AFTER_CAP: "did not end .*queued",
    }
)
def nobody_pays_for_anothers_model(lab: Lab, _: float) -> None:
    with lab.stack(settings=SETTINGS, worker=MISBEHAVIOUR) as stack:
        _beside_a_task_whose_model_hangs(stack)
        _beside_prompts_that_the_model_refuses(stack)
        _after_many_tasks_whose_model_hangs(stack)
        _after_a_request_to_wait_two_minutes(stack)
        assert _changes_of_the_breaker(stack).count("open") == 1


def _beside_a_task_whose_model_hangs(stack: Stack) -> None:
    (slow,) = _submit(stack, "slow", 1, max_attempts=FAILURES + 1)
    stack.wait_until(lambda: bool(stack.calls(slow)["calls"] > FAILURES), seconds=60)
    _check_undisturbed(_answer_ordinary_tasks(stack), "a task whose model hangs")
    stack.client.post(f"/v1/tasks/{slow}/cancel", headers={"X-Tenant": "slow"}).raise_for_status()
    reckon(stack, [slow], seconds=60)


def _beside_prompts_that_the_model_refuses(stack: Stack) -> None:
    """Refuses every second prompt in the stream, and the others with a 400."""
    refused = reckon(stack, _submit(stack, "refused", 2 * FAILURES), seconds=60)
    assert {task["error"]["type"] for task in refused} == {"LLM_REFUSED"}
    _check_undisturbed(_answer_ordinary_tasks(stack), "prompts that the model refuses")


def _after_many_tasks_whose_model_hangs(stack: Stack) -> None:
    """Opens the breaker: the tasks wait for its probe, and lose none of their attempts."""
    assert statuses(reckon(stack, _submit(stack, "slow", FAILURES, max_attempts=1), seconds=60)) == {"failed"}
    assert "open" in _changes_of_the_breaker(stack)
    _answer_ordinary_tasks(stack)


def _after_a_request_to_wait_two_minutes(stack: Stack) -> None:
    (limited,) = _submit(stack, "limited", 1)
    stack.wait_until(lambda: "429-long" in stack.calls(limited)["by_outcome"], seconds=60)
    stack.kill("worker")  # the pause is in Redis, and its cap has to hold there too
    stack.start("worker")
    _answer_ordinary_tasks(stack)
    assert statuses(reckon(stack, [limited], seconds=60)) == {"completed"}


@fault({Switch.ONE_PROBE: "probes went to a model"})
def one_probe_goes_to_a_model_that_is_ill(lab: Lab, _: float) -> None:
    """Opens the breaker, restarts the worker in the pause, and counts the calls after it while ten tasks wait."""
    with lab.stack(settings=PAUSING) as stack:
        with script(stack, SLOWLY_DOWN):
            failed = _submit(stack, "ordinary", FAILURES, max_attempts=1)
            assert statuses(reckon(stack, failed, seconds=60)) == {"failed"}
            waiting = _submit(stack, "ordinary", TASKS)
            stack.wait_until(lambda: _count_postponed(stack, waiting) == TASKS, seconds=30)
            stack.kill("worker")
            stack.start("worker")
            restarted_at = time.time()
            stack.wait_until(lambda: sum(stack.calls()["by_outcome"].values()) > FAILURES, seconds=60)
            probes = stack.calls()["calls"] - FAILURES
            assert probes == 1, f"{probes} probes went to a model whose breaker was open"
        _check_pause(stack, failed, waiting, restarted_at=restarted_at)
        assert statuses(reckon(stack, waiting, seconds=60)) == {"completed"}


def _check_pause(stack: Stack, failed: Sequence[str], waiting: Sequence[str], *, restarted_at: float) -> None:
    """Checks that the restart has neither ended the pause nor made it longer than its cap."""
    opened_at = max(call["ended_at"] for call in _calls(stack, failed))
    probed_at = min(call["began_at"] for call in _calls(stack, waiting))
    latest = max(opened_at + LONGEST_PAUSE_SECONDS, restarted_at) + RETURN_SECONDS
    assert opened_at + PAUSE_SECONDS <= probed_at <= latest, (
        f"the probe went {probed_at - opened_at:.1f} s after the failure, {probed_at - restarted_at:.1f} s after the "
        "restart of the worker"
    )


def _calls(stack: Stack, task_ids: Sequence[str]) -> list[Document]:
    return [call for task_id in task_ids for call in stack.calls(task_id)["entries"]]


def _count_postponed(stack: Stack, task_ids: Sequence[str]) -> int:
    with stack.database() as db:
        return int(db["tasks"].count_documents({"_id": {"$in": list(task_ids)}, "postponed": {"$gte": 1}}))


def _submit(stack: Stack, tenant: str, count: int, **fields: Any) -> list[str]:
    headers = {"X-Tenant": tenant}
    return [
        stack.submit(CODE.format(number=number), headers=headers, agent="CodeAgent", **fields)["task_id"]
        for number in range(count)
    ]


def _answer_ordinary_tasks(stack: Stack) -> list[Document]:
    ended = reckon(stack, _submit(stack, "ordinary", TASKS, max_attempts=1), seconds=60)
    assert statuses(ended) == {"completed"}
    return ended


def _check_undisturbed(ended: Sequence[Document], neighbour: str) -> None:
    refused = [task["_id"] for task in ended if task.get("postponed")]
    assert not refused, f"{len(refused)} ordinary tasks were refused beside {neighbour}"


def _changes_of_the_breaker(stack: Stack) -> list[str]:
    return [line["state"] for line in stack.parts["worker"].log_lines() if line["message"] == "breaker_changed"]
