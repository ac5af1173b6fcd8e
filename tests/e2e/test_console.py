"""The view of a user of kubectl: an AgentTask from `kubectl apply` to its answer."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation, installed
from tests.support.kubernetes import Kubectl, agent_task, create, status_of
from tests.support.waiting import wait_for

ARTICLE = Path(__file__).parents[2] / "k8s" / "samples" / "article.yaml"
PERSON = "person"


@pytest.fixture(scope="module")
def installation(cluster: Kubectl) -> Iterator[Installation]:
    with installed(cluster, "console", {}) as one:
        cluster.run("create", "rolebinding", PERSON, "--clusterrole=edit", f"--user={PERSON}", "-n", one.namespace)
        wait_for(lambda: typed(one, "auth can-i create agenttasks").returncode == 0, what="a new right")
        yield one
        assert one.logged_errors() == []


def typed(installation: Installation, line: str, *, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs kubectl as a user with the cluster role `edit` in the namespace."""
    return installation.kubectl.run(
        *line.split(), f"--as={PERSON}", "-n", installation.namespace, stdin=stdin, check=False
    )


def described(installation: Installation, name: str) -> str:
    return typed(installation, f"describe at/{name}").stdout


def events(installation: Installation, name: str) -> str:
    """Returns the events of the object, as `kubectl describe` prints them."""
    return described(installation, name).partition("\nEvents:")[2]


def test_an_article_is_applied_waited_for_listed_and_described(installation: Installation) -> None:
    assert typed(installation, f"apply -f {ARTICLE}").stdout == "agenttask.agentorchestrator.dev/article created\n"
    waited = typed(installation, "wait --for=condition=Finished at/article --timeout=120s")
    assert waited.stdout == "agenttask.agentorchestrator.dev/article condition met\n"

    head, row = typed(installation, "get agenttasks").stdout.splitlines()
    assert head.split() == ["NAME", "AGENT", "PHASE", "TOKENS", "COST", "ERROR", "AGE"]
    assert re.fullmatch(r"article +ContentAgent +Completed +\d{3,} +0\.\d+ +\d+s", row.strip())

    wait_for(lambda: "ContentAgent has answered, for" in events(installation, "article"), what="the last event")
    description = described(installation, "article")
    for part in ("Reasoning:", "Attempts:", "Preview:", "Trace Id:"):
        assert part in description
    assert "The API accepted the task as" in events(installation, "article")


def test_the_reference_of_the_object_leads_to_the_whole_answer(installation: Installation) -> None:
    status = status_of(installation.kubectl, installation.namespace, "article")
    task = installation.tasks.get(status["result"]["ref"]).json()
    answer = task["result"]["raw_output"]
    assert hashlib.sha256(answer.encode()).hexdigest() == status["result"]["sha256"]
    assert len(answer.encode()) == status["result"]["sizeBytes"]
    assert task["result"]["citations"]
    assert str(task["usage"]["cost_usd"]) == status["usage"]["costUSD"]


def test_a_running_task_is_cancelled(installation: Installation) -> None:
    with installation.script({"fault": "hang"}):
        create(installation.kubectl, installation.namespace, agent_task("endless"))
        wait_for(lambda: installation.phases(["endless"]) == {"endless": "Processing"}, what="Processing")
        patched = typed(installation, 'patch at/endless --type=merge -p {"spec":{"cancel":true}}')
        assert patched.returncode == 0
        wait_for(lambda: installation.phases(["endless"]) == {"endless": "Cancelled"}, what="Cancelled")
    wait_for(lambda: "Cancelled" in events(installation, "endless"), what="the event")


def test_nobody_writes_a_status_by_hand(installation: Installation) -> None:
    refused = typed(installation, 'patch at/article --subresource=status --type=merge -p {"status":{"phase":"Failed"}}')
    assert "Forbidden" in refused.stderr


def test_a_mistake_is_refused_with_its_reason(installation: Installation) -> None:
    wrong = (
        "apiVersion: agentorchestrator.dev/v1alpha1\nkind: AgentTask\nmetadata: {name: wrong}\nspec: {priority: 11}\n"
    )
    refused = typed(installation, "apply -f -", stdin=wrong)
    assert refused.returncode == 1
    assert "spec.task: Required value" in refused.stderr
    assert "spec.priority" in refused.stderr
