"""A release from its installation to its end: the actions of Helm, and their effect on tasks and callers.

The upgrade begins with a release of the previous version of the chart. The other tests run in order on one release: a
failed upgrade, changed keys and the removal.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from tests.chart.rendering import NAME, RELEASED
from tests.e2e.installation import Installation, installed, interruptions, revisions
from tests.e2e.load import TEXT, load, requests
from tests.support.kubernetes import Kubectl, agent_task, create
from tests.support.waiting import wait_for

POLICY = {
    "min_replicas": 2,
    "max_replicas": 3,
    "up_period_seconds": 1,
    "down_window_seconds": 600,
}
VALUES = {"worker": {"concurrency": 8, "autoscaling": {"policy": POLICY}}, "tasks": {"deadlineSeconds": 60}}
ROLLBACK_SECONDS = 45
# Operators of 0.1 took no Lease. The image of this version does, under the name of another release, if it gets
# the right to by the upgrade before its pod is replaced. That Lease has to run out before the next operator serves.
TAKE_OVER_SECONDS = 240
KUBELET_SECONDS = 60
OVERLAP_SECONDS = 120  # the shortest that the setting takes


@pytest.fixture(scope="module")
def installation(cluster: Kubectl) -> Iterator[Installation]:
    with installed(cluster, "release", VALUES) as one:
        yield one


@pytest.fixture
def previous(cluster: Kubectl) -> Iterator[Installation]:
    with installed(cluster, "previous", VALUES, chart=RELEASED) as one:
        yield one


def names(installation: Installation, component: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in installation.pods(component)}


def going(installation: Installation) -> set[str]:
    return {pod["metadata"]["name"] for part in ("api", "worker") for pod in installation.pods(part, leaving=True)}


def test_an_upgrade_from_the_previous_chart_interrupts_nothing(previous: Installation) -> None:
    wait_for(lambda: previous.replicas() == 2, seconds=60, what="replicas that the operator has set")
    wait_for(lambda: len(previous.ready("worker")) == 2, seconds=60, what="two workers")
    before = {component: names(previous, component) for component in ("api", "worker", "operator")}
    with (
        previous.script({"fault": "slow-1500"}),
        load(previous, "upgraded", pace=3) as objects,
        requests(previous, pace=3) as posted,
    ):
        wait_for(lambda: previous.running() > 4, seconds=60, what="tasks in hand")
        previous.upgrade({})
        submitted = len(posted.created)
        wait_for(lambda: not going(previous), seconds=120, what="the old pods' end")
        wait_for(lambda: len(posted.created) > submitted, what="a request to the new pods")

    assert interruptions(previous.reckon(objects.created, seconds=TAKE_OVER_SECONDS)) == []
    assert interruptions(previous.judge(posted.created)) == []
    for component, pods in before.items():
        assert not pods & names(previous, component), f"{component} was not replaced"
    assert previous.replicas() >= 2
    before_and_now = [revision["chart"] for revision in revisions(previous)]
    assert before_and_now[0] == RELEASED.stem
    assert before_and_now[1] != RELEASED.stem


def test_helm_test_submits_a_task_and_waits_for_its_end(installation: Installation) -> None:
    output = installation.helm("test", "--logs")
    assert "is completed by CodeAgent, for 0.00" in output


def test_a_failed_upgrade_is_rolled_back_and_interrupts_no_task(installation: Installation) -> None:
    workers = names(installation, "worker")
    with (
        installation.script({"fault": "slow-1500"}),
        load(installation, "rolledback", pace=2) as objects,
        requests(installation, pace=2) as posted,
    ):
        with pytest.raises(AssertionError, match=r"rolled back|rollback"):
            installation.upgrade(
                {"images": {"tag": "nowhere"}}, "--rollback-on-failure", f"--timeout={ROLLBACK_SECONDS}s"
            )
        wait_for(lambda: bool(installation.ready("operator")), seconds=60, what="the operator of the previous version")
        wait_for(lambda: len(posted.created) > 20, what="requests")

    assert interruptions(installation.reckon(objects.created)) == []
    assert interruptions(installation.judge(posted.created)) == []
    assert workers <= names(installation, "worker"), "the workers before went on"
    failed, restored = revisions(installation)[-2:]
    assert (failed["status"], restored["status"]) == ("failed", "deployed")
    assert restored["description"].startswith("Rollback to ")


def test_a_changed_key_of_a_provider_is_used_without_a_restart(installation: Installation) -> None:
    installation.upgrade({"secrets": {"inline": {"providers": {"OPENAI_API_KEY": "revoked-1"}}}})
    wait_for(lambda: not going(installation), seconds=120, what="the end of the old pods, which have the earlier key")
    create(installation.kubectl, installation.namespace, agent_task("refused", TEXT.format(number=1)))
    wait_for(lambda: installation.phases(["refused"]) == {"refused": "Failed"}, seconds=60, what="the key's refusal")
    workers = names(installation, "worker")

    installation.upgrade({"secrets": {"inline": {"providers": {"OPENAI_API_KEY": "sk-2"}}}})

    def shown() -> bool:
        installation.refresh_files(workers)
        code = "print(open('/providers/OPENAI_API_KEY').read())"
        return all(installation.execute(pod, code).stdout.strip() == "sk-2" for pod in sorted(workers))

    wait_for(shown, seconds=KUBELET_SECONDS, every=2, what="the new key in the workers' files")
    installation.create("answered", TEXT.format(number=2))
    installation.reckon(["answered"])
    assert workers == names(installation, "worker")
    assert installation.restarts() == {}


def test_a_rotated_service_key_is_used_without_a_restart_and_the_former_one_ends(installation: Installation) -> None:
    installation.upgrade({"api": {"env": {"AGENT_SERVICE_KEY_OVERLAP_SECONDS": OVERLAP_SECONDS}}})
    wait_for(lambda: not going(installation), seconds=120, what="the end of the old pods")
    before = {component: names(installation, component) for component in ("api", "operator")}
    former, rotated = installation.tasks.headers["X-API-Key"], secrets.token_hex(32)

    def answer(key: str) -> int:
        return installation.tasks.get("/v1/system/metrics", headers={"X-API-Key": key}).status_code

    def read_keys() -> set[str]:
        pods = before["api"] | before["operator"]
        installation.refresh_files(pods)
        code = "print(open('/keys/service-key').read())"
        return {installation.execute(pod, code).stdout.strip() for pod in sorted(pods)}

    change = json.dumps({"stringData": {"service-key": rotated}})
    installation.kubectl.run("patch", "secret", f"{NAME}-keys", "-n", installation.namespace, "-p", change)
    wait_for(lambda: read_keys() == {rotated}, seconds=KUBELET_SECONDS, every=2, what="the new key in the files")
    wait_for(lambda: answer(rotated) == HTTPStatus.OK, seconds=OVERLAP_SECONDS / 2, what="the new key at the API")
    assert answer(former) == HTTPStatus.OK, "both keys work for a while"
    installation.create("between", TEXT.format(number=3))
    wait_for(
        lambda: answer(former) == HTTPStatus.UNAUTHORIZED,
        seconds=2 * OVERLAP_SECONDS,
        every=2,
        what="the former key's end",
    )
    installation.create("afterwards", TEXT.format(number=4))

    assert interruptions(installation.reckon(["between", "afterwards"])) == []
    assert before == {component: names(installation, component) for component in ("api", "operator")}
    assert installation.restarts() == {}
    installation.tasks.headers["X-API-Key"] = rotated  # for what comes after this test


def test_an_uninstalled_release_leaves_the_agent_tasks_and_their_crd(installation: Installation) -> None:
    there = installation.agent_tasks()
    assert there

    installation.helm("uninstall", "--wait")

    assert installation.agent_tasks().keys() == there.keys()
    pods = ("pods", "-n", installation.namespace)
    wait_for(
        lambda: all("deletionTimestamp" in pod["metadata"] for pod in installation.kubectl.get(*pods)["items"]),
        what="the end of all pods",
    )
    leftover = installation.kubectl.get("secrets,configmaps,deployments,networkpolicies", "-n", installation.namespace)
    assert [body["metadata"]["name"] for body in leftover["items"] if body["metadata"]["name"].startswith(NAME)] == []
