"""The rights of the operator's service account: all that it needs, and nothing else."""

from __future__ import annotations

import json
from subprocess import CalledProcessError

import httpx
import pytest
import yaml

from agent_operator.kube.leases import NAME as LEASE
from tests.chart.rendering import CHART, RELEASE, STORES, helm, render
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operators import ACCOUNT, grant
from tests.cluster.podlet import WORKER
from tests.support.waiting import wait_for

ALLOWED = [
    ("list", "agenttasks"), ("watch", "agenttasks"), ("patch", "agenttasks"), ("delete", "agenttasks"),
    ("patch", "agenttasks --subresource=status"), ("create", "events"),
    ("get", f"deployments/{WORKER}"), ("get", f"deployments/{WORKER} --subresource=scale"),
    ("list", f"deployments/{WORKER}"), ("watch", f"deployments/{WORKER}"), ("watch", "pods"),
    ("get", f"leases/{LEASE}"), ("create", f"leases/{LEASE}"), ("update", f"leases/{LEASE}"),
    ("patch", f"leases/{LEASE}"),
    ("patch", f"deployments/{WORKER} --subresource=scale"),
    ("list", "pods"), ("patch", "pods"), ("list", "horizontalpodautoscalers"),
]  # fmt: skip
FORBIDDEN = [
    ("create", "agenttasks"), ("get", "agenttasks"), ("update", "agenttasks"), ("deletecollection", "agenttasks"),
    ("update", "agenttasks --subresource=status"), ("get", "secrets"), ("list", "secrets"), ("get", "configmaps"),
    ("create", "pods"), ("delete", "pods"), ("get", "pods"), ("create", "pods --subresource=exec"),
    ("get", "pods --subresource=log"),
    ("patch", f"deployments/{WORKER}"), ("get", "deployments/api"), ("patch", "deployments/api --subresource=scale"),
    ("update", f"deployments/{WORKER} --subresource=scale"), ("list", "deployments"), ("delete", "deployments"),
    ("get", "leases"), ("list", "leases"), ("create", "leases"), ("patch", "leases/other"),
    ("delete", f"leases/{LEASE}"),
    ("watch", "deployments"), ("patch", "namespaces"), ("delete", "namespaces"),
    ("list", "namespaces"), ("list", "customresourcedefinitions"), ("create", "serviceaccounts --subresource=token"),
    ("patch", "horizontalpodautoscalers"), ("delete", "events"), ("list", "nodes"), ("escalate", "roles"),
]  # fmt: skip


def may(plane: ControlPlane, namespace: str, verb: str, what: str) -> bool:
    account = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    answer = plane.run("auth", "can-i", verb, *what.split(), f"--as={account}", "-n", namespace, check=False)
    return answer.stdout.strip() == "yes"


@pytest.fixture
def granted(control_plane: ControlPlane, namespace: str) -> str:
    """Grants the rights, and waits until the API server applies them, which takes a moment."""
    grant(control_plane, namespace)
    of_each_role = (ALLOWED[0], ALLOWED[-1])
    wait_for(lambda: all(may(control_plane, namespace, *case) for case in of_each_role), what="its new rights")
    return namespace


def test_it_may_do_what_it_needs(control_plane: ControlPlane, granted: str) -> None:
    assert [case for case in ALLOWED if not may(control_plane, granted, *case)] == []


def test_everything_else_is_forbidden(control_plane: ControlPlane, granted: str) -> None:
    assert [case for case in FORBIDDEN if may(control_plane, granted, *case)] == []


def test_its_rights_end_at_its_namespace(control_plane: ControlPlane, granted: str) -> None:
    account = f"system:serviceaccount:{granted}:{ACCOUNT}"
    elsewhere = control_plane.run(
        "auth", "can-i", "list", "agenttasks", f"--as={account}", "-n", "default", check=False
    )
    assert elsewhere.stdout.strip() == "no"


def test_a_second_release_for_a_namespace_is_refused(control_plane: ControlPlane, granted: str) -> None:
    def install(namespace: str) -> None:
        values = {**STORES, "operator": {"namespaces": [granted]}}
        options = ["--namespace", namespace, "--dry-run=server", "--take-ownership"]
        helm("install", RELEASE, str(CHART), *options, values=values, kubeconfig=control_plane.kubeconfig)

    install(granted)
    with pytest.raises(CalledProcessError) as refusal:
        install("default")

    assert (
        f"operator.namespaces: {granted} is already served by the operator {granted}/{ACCOUNT}" in refusal.value.stderr
    )


def ask(
    plane: ControlPlane,
    namespace: str,
    method: str,
    path: str,
    body: str | None = None,
    *,
    kind: str = "application/json",
    dry: bool = False,
) -> httpx.Response:
    """Sends a request as the operator's account."""
    headers = {
        "Authorization": f"Bearer {plane.token}",
        "Impersonate-User": f"system:serviceaccount:{namespace}:{ACCOUNT}",
        "Content-Type": kind,
    }
    return httpx.request(
        method,
        f"{plane.url}{path}",
        params={"dryRun": "All"} if dry else {},
        headers=headers,
        content=body,
        verify=False,  # noqa: S501  the API server's certificate is its own
    )


def test_it_reads_the_uid_of_its_own_namespace_and_of_no_other(control_plane: ControlPlane, granted: str) -> None:
    own = ask(control_plane, granted, "GET", f"/api/v1/namespaces/{granted}")

    assert own.json()["metadata"]["uid"] == control_plane.get("namespace", granted)["metadata"]["uid"]
    assert ask(control_plane, granted, "GET", "/api/v1/namespaces/default").status_code == 403


def test_it_writes_the_lease_of_its_name_and_no_other(control_plane: ControlPlane, granted: str) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{granted}/leases"

    def put(name: str) -> httpx.Response:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": granted},
            "spec": {"holderIdentity": "me", "leaseDurationSeconds": 60},
        }
        return ask(control_plane, granted, "PUT", f"{leases}/{name}", json.dumps(body))

    assert put("other").status_code == 403
    assert put(LEASE).status_code == 201
    again = put(LEASE)
    assert (again.status_code, again.json()["reason"]) == (422, "Invalid"), "two that create it cannot both succeed"


def patch_pod(plane: ControlPlane, namespace: str, patch: str, *, dry: bool = False) -> str:
    """Returns the reason of a refusal, or nothing if the operator's account may patch the pod.

    kubectl would read the pod first, which this account may not do.
    """
    path = f"/api/v1/namespaces/{namespace}/pods/one"
    answer = ask(plane, namespace, "PATCH", path, patch, kind="application/strategic-merge-patch+json", dry=dry)
    return "" if answer.is_success else str(answer.json()["message"])


@pytest.fixture
def pod(control_plane: ControlPlane, granted: str) -> str:
    """Creates a pod, and waits until the API server applies the policy, which takes a moment."""
    metadata = {"name": "one", "namespace": granted, "labels": {"app": "x"}, "annotations": {"kept": "yes"}}
    spec = {"containers": [{"name": "one", "image": "one:1"}]}
    control_plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    wait_for(lambda: REFUSAL in patch_pod(control_plane, granted, LABEL, dry=True), what="the policy")
    return granted


REFUSAL = "This account may change only the deletion cost of a pod."
LABEL = '{"metadata":{"labels":{"app":"y"}}}'
COST = '{"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":%s}}}'


def test_it_may_change_the_deletion_cost_of_a_pod(control_plane: ControlPlane, pod: str) -> None:
    assert [patch_pod(control_plane, pod, COST % value) for value in ('"-1000"', '"5"', "null")] == ["", "", ""]


@pytest.mark.parametrize(
    "patch",
    [
        LABEL,
        '{"metadata":{"labels":null}}',
        '{"metadata":{"annotations":{"kept":null}}}',
        '{"metadata":{"annotations":{"kept":"no"}}}',
        '{"metadata":{"annotations":{"further":"one"}}}',
        '{"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"1","kept":"no"}}}',
        '{"metadata":{"finalizers":["example.org/kept"]}}',
        '{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"1"}]}}',
        '{"spec":{"containers":[{"name":"one","image":"two:1"}]}}',
        '{"spec":{"activeDeadlineSeconds":5}}',
    ],
)
def test_it_may_change_nothing_else_of_a_pod(control_plane: ControlPlane, pod: str, patch: str) -> None:
    assert REFUSAL in patch_pod(control_plane, pod, patch)


def test_other_accounts_may_change_pods(control_plane: ControlPlane, pod: str) -> None:
    control_plane.run("patch", "pod/one", "-n", pod, "-p", LABEL)


@pytest.mark.parametrize(
    ("role", "verbs"), [("view", {"get", "list", "watch"}), ("edit", {"get", "list", "watch", "create", "delete"})]
)
def test_users_may_create_agent_tasks_and_nobody_writes_a_status(
    control_plane: ControlPlane, namespace: str, role: str, verbs: set[str]
) -> None:
    rendered = render(namespace, "operator/user-roles.yaml")
    control_plane.run("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(rendered))
    control_plane.run("create", "rolebinding", role, f"--clusterrole={role}", "--user=person", "-n", namespace)

    def can(verb: str, what: str = "agenttasks") -> bool:
        asked = control_plane.run("auth", "can-i", verb, *what.split(), "--as=person", "-n", namespace, check=False)
        return asked.stdout.strip() == "yes"

    wait_for(lambda: can("list"), what="the aggregated role")
    assert {verb for verb in ("get", "list", "watch", "create", "delete") if can(verb)} == verbs
    assert not can("patch", "agenttasks --subresource=status")
    assert not can("update", "agenttasks --subresource=status")
