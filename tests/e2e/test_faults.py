"""Faults of pods that must not lose a task."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.installation import Installation, installed, interruptions
from tests.e2e.load import TEXT, load
from tests.support.kubernetes import Kubectl
from tests.support.waiting import wait_for

TASKS_IN_HAND = 8
# In a container without free memory, the kernel kills the process with the highest score. This code raises the score of
# the worker, and keeps its own processes small.
EAT_ALL_MEMORY = """
import os, signal
for pid in {int(name) for name in os.listdir('/proc') if name.isdigit()} - {os.getpid()}:
    open(f'/proc/{pid}/oom_score_adj', 'w').write('1000')
reader, writer = os.pipe()
for _ in range(64):
    if os.fork() == 0:
        held = b'x' * (32 * 2**20)
        os.write(writer, b'.')
        signal.pause()
    os.read(reader, 1)
"""


@pytest.fixture(scope="module")
def installation(cluster: Kubectl) -> Iterator[Installation]:
    values = {
        "worker": {"autoscaling": {"mode": "none"}},
        "api": {"replicas": 2},
    }
    with installed(cluster, "faults", values) as one:
        yield one


def test_a_worker_that_is_killed_for_its_memory_loses_no_task(installation: Installation) -> None:
    (worker,) = installation.ready("worker")
    names = [f"killed-{number}" for number in range(TASKS_IN_HAND)]
    with installation.script({"fault": "slow-20000"}):
        for number, name in enumerate(names):
            installation.create(name, TEXT.format(number=number))
        wait_for(lambda: installation.running() == TASKS_IN_HAND, what="tasks in hand")
        installation.execute(worker, EAT_ALL_MEMORY, check=False)

        def reason() -> str:
            (status,) = installation.pods("worker")[0]["status"]["containerStatuses"]
            return str(status["lastState"].get("terminated", {}).get("reason"))

        wait_for(lambda: reason() == "OOMKilled", what="the worker's end")
    tasks = installation.reckon(names)

    assert {task["crashes"] for task in tasks} == {1}


def test_api_pods_that_are_deleted_one_after_the_other_refuse_no_request(installation: Installation) -> None:
    wait_for(lambda: len(installation.ready("api")) == 2, seconds=60, what="two APIs")
    accepted: list[str] = []
    refused: list[str] = []
    with load(installation, "onward", pace=5) as steady:
        for doomed in installation.ready("api"):
            installation.kubectl.run("delete", "pod", doomed, "-n", installation.namespace, "--wait=false")

            def replaced(doomed: str = doomed) -> bool:
                answer = installation.tasks.post("/v1/agent/execute", json={"task": TEXT.format(number=1)})
                if answer.is_success:
                    accepted.append(answer.json()["task_id"])
                else:
                    refused.append(answer.text)
                there = installation.ready("api")
                return len(there) == 2 and doomed not in there

            wait_for(replaced, seconds=60, what="another API")

    assert refused == []
    assert interruptions(installation.reckon(steady.created)) == []
    answered = installation.judge(accepted)
    assert {task["status"] for task in answered} == {"completed"}
    assert interruptions(answered) == []


def test_a_queue_that_is_lost_with_its_pod_loses_no_task(installation: Installation) -> None:
    with installation.script({"fault": "slow-500"}), load(installation, "unqueued", pace=10) as steady:
        wait_for(lambda: len(steady.created) > 30, what="a load")
        (valkey,) = installation.ready("valkey")
        installation.kubectl.run("delete", "pod", valkey, "-n", installation.namespace, "--grace-period=0", "--force")
        wait_for(lambda: installation.ready("valkey") not in ([], [valkey]), seconds=60, what="another queue")
        wait_for(lambda: len(steady.created) > 100, what="a load")

    installation.reckon(steady.created, seconds=180)


def test_a_new_image_of_the_workers_is_rolled_out_under_load(installation: Installation, next_worker: str) -> None:
    with installation.script({"fault": "slow-1500"}), load(installation, "rolled", pace=8) as steady:
        wait_for(lambda: installation.running() > TASKS_IN_HAND, seconds=60, what="tasks in hand")
        before = {pod["metadata"]["name"] for pod in installation.pods("worker")}
        installation.upgrade({"images": {"worker": next_worker}})

        def left() -> set[str]:
            pods = [*installation.pods("worker"), *installation.pods("worker", leaving=True)]
            return before & {pod["metadata"]["name"] for pod in pods}

        wait_for(lambda: not left(), seconds=120, what="the old workers' end")

    assert interruptions(installation.reckon(steady.created)) == []
    (worker,) = installation.pods("worker")
    assert worker["spec"]["containers"][0]["image"].startswith(f"{next_worker}:")
