"""Restrictions of the product's pods: any user id, no rights, and a read-only root."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.installation import USER, Installation, installed
from tests.support.kubernetes import Kubectl
from tests.support.waiting import wait_for

COMPONENTS = ("api", "worker", "operator")
INSPECTION = """
import os
status = dict(line.split(':', 1) for line in open('/proc/1/status'))
print(os.getuid(), int(status['CapEff'], 16), int(status['CapBnd'], 16), status['NoNewPrivs'].strip())
"""
COMMAND_LINES = """
import glob
print(*(word for path in glob.glob('/proc/[0-9]*/cmdline') for word in open(path).read().split(chr(0))))
"""
# The API first waits five seconds for its last callers. An ignored SIGTERM costs 15 to 960 seconds.
ENDED_SECONDS = 12


@pytest.fixture(scope="module")
def installation(cluster: Kubectl) -> Iterator[Installation]:
    with installed(cluster, "pods", {}) as one:
        yield one


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pod_runs_with_the_configured_user_and_no_right(installation: Installation, component: str) -> None:
    (pod,) = installation.ready(component)
    assert installation.execute(pod, INSPECTION).stdout.split() == [str(USER), "0", "0", "1"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_root_of_a_container_cannot_be_written_to(installation: Installation, component: str) -> None:
    (pod,) = installation.ready(component)
    refused = installation.execute(pod, "open('/opt/venv/planted', 'w')", check=False)
    assert "Read-only file system" in refused.stderr
    installation.execute(pod, "open('/tmp/room', 'w').close()")


def test_a_worker_of_any_user_starts_without_a_warning(installation: Installation) -> None:
    (pod,) = installation.ready("worker")
    logged = list(installation.logged(pod))
    assert [line for line in logged if line["message"] == "worker_started"]
    assert [line for line in logged if line.get("logger") == "py.warnings"] == []


@pytest.mark.parametrize(("component", "mounted"), [("api", False), ("worker", False), ("operator", True)])
def test_only_the_operator_has_an_account_token(installation: Installation, component: str, *, mounted: bool) -> None:
    (pod,) = installation.ready(component)
    found = installation.execute(pod, "import os; print(os.path.exists('/var/run/secrets/kubernetes.io'))").stdout
    assert found.strip() == str(mounted)


@pytest.mark.parametrize(
    ("component", "modules"),
    [("api", ("openai", "anthropic", "langgraph", "kopf")), ("operator", ("motor", "pymongo", "openai", "celery"))],
)
def test_an_image_contains_no_packages_of_another_one(
    installation: Installation, component: str, modules: tuple[str, ...]
) -> None:
    (pod,) = installation.ready(component)
    code = f"import importlib.util as u; print([name for name in {modules} if u.find_spec(name)])"
    assert installation.execute(pod, code).stdout.strip() == "[]"


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_secret_is_in_a_command_line(installation: Installation, component: str) -> None:
    (pod,) = installation.ready(component)
    key = installation.tasks.headers["X-API-Key"]
    found = installation.execute(pod, COMMAND_LINES).stdout
    assert "-m" in found.split()
    assert key not in found
    assert "mongodb://" not in found


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_pod_that_is_deleted_while_it_starts_ends_at_once(installation: Installation, component: str) -> None:
    (ready,) = installation.ready(component)
    _delete(installation, ready)
    wait_for(lambda: bool(_started(installation, component, but=ready)), every=0.05, what="the container's start")
    (starting,) = _started(installation, component, but=ready)

    _delete(installation, starting)

    wait_for(lambda: starting not in _names(installation, component), seconds=ENDED_SECONDS, what="the pod's end")
    wait_for(lambda: len(installation.ready(component)) == 1, seconds=60, what="another pod")


def _delete(installation: Installation, pod: str) -> None:
    installation.kubectl.run("delete", "pod", pod, "-n", installation.namespace, "--wait=false")


def _started(installation: Installation, component: str, *, but: str) -> list[str]:
    """Returns the pods with a running container except one."""
    started = [
        pod["metadata"]["name"]
        for pod in installation.pods(component)
        if any("running" in container["state"] for container in pod["status"].get("containerStatuses", ()))
    ]
    return [name for name in started if name != but]


def _names(installation: Installation, component: str) -> set[str]:
    there = [*installation.pods(component), *installation.pods(component, leaving=True)]
    return {pod["metadata"]["name"] for pod in there}
