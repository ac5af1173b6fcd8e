"""The chart on a real API server: every object is accepted, and an upgrade removes what the values no longer name."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, CI_VALUES, NAME, RELEASE, RELEASED, STORES, helm, over, render
from tests.cluster.control_plane import ControlPlane
from tests.support.toolchain import built_or_skipped
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def definitions(control_plane: ControlPlane) -> None:
    """Installs the CRDs of other projects whose objects the chart can create."""
    folder = built_or_skipped("charts") / "crds"
    control_plane.run("apply", "--server-side", "-f", str(folder))
    control_plane.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem.removesuffix("-values"))
def test_every_object_of_an_example_is_accepted_without_a_warning(
    control_plane: ControlPlane, namespace: str, values: Path
) -> None:
    for mode in ("enforce", "warn"):
        control_plane.run("label", "namespace", namespace, f"pod-security.kubernetes.io/{mode}=restricted")
    served = yaml.safe_load(values.read_text()).get("operator", {}).get("namespaces", [])
    objects = [
        body
        for body in render(namespace, values=yaml.safe_load(values.read_text()))
        if body["metadata"].get("namespace") not in served
    ]
    done = control_plane.run(
        "apply", "--server-side", "--dry-run=server", "--namespace", namespace, "-f", "-",
        stdin=yaml.safe_dump_all(objects), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert len(done.stdout.splitlines()) == len(objects)


def secret(plane: ControlPlane, namespace: str, part: str) -> dict[str, str]:
    """Returns the values of the Secret by name; empty if it does not exist."""
    found = plane.run("get", "secret", f"{NAME}-{part}", "-n", namespace, "-o", "yaml", "--ignore-not-found")
    data: dict[str, str] = (yaml.safe_load(found.stdout) or {}).get("data") or {}
    return {name: b64decode(value).decode() for name, value in data.items()}


def roll_out(
    plane: ControlPlane, verb: str, namespace: str, values: dict[str, Any], *options: str, chart: Path = CHART
) -> str:
    """Returns the notes of the release. Raises subprocess.CalledProcessError."""
    options = (*options, "--take-ownership", "--namespace", namespace)
    return helm(verb, RELEASE, str(chart), *options, values=values, kubeconfig=plane.kubeconfig)


def test_values_that_are_no_longer_named_leave_the_secrets(control_plane: ControlPlane, namespace: str) -> None:
    inline = {
        "stores": {"CELERY_BROKER_URL": "redis://other/"},
        "providers": {"OPENAI_API_KEY": "sk-1", "TAVILY_API_KEY": "tv-1"},
        "worker": {"WEATHER_KEY": "w-1"},
    }
    roll_out(control_plane, "install", namespace, over(STORES, {"secrets": {"inline": inline}}))
    assert secret(control_plane, namespace, "providers") == inline["providers"]
    assert "CELERY_BROKER_URL" in secret(control_plane, namespace, "stores")

    less = {"providers": {"OPENAI_API_KEY": "sk-2"}}
    roll_out(control_plane, "upgrade", namespace, over(STORES, {"secrets": {"inline": less}}))

    assert secret(control_plane, namespace, "providers") == {"OPENAI_API_KEY": "sk-2"}
    assert set(secret(control_plane, namespace, "stores")) == {"MONGO_URI", "REDIS_URL"}
    assert secret(control_plane, namespace, "worker") == {}


def test_an_upgrade_leaves_replicas_to_their_owner(control_plane: ControlPlane, namespace: str) -> None:
    def replicas() -> int:
        return int(control_plane.get(f"deployment/{NAME}-worker", "-n", namespace)["spec"]["replicas"])

    roll_out(control_plane, "install", namespace, over(STORES, {}))
    control_plane.run("scale", f"deployment/{NAME}-worker", "-n", namespace, "--replicas=7")
    roll_out(control_plane, "upgrade", namespace, over(STORES, {"env": {"LOG_LEVEL": "DEBUG"}}))
    assert replicas() == 7
    mode = {"worker": {"replicas": 3, "autoscaling": {"mode": "none"}}}
    roll_out(control_plane, "upgrade", namespace, over(STORES, mode), "--force-conflicts")
    wait_for(lambda: replicas() == 3, what="the replicas of the values")


def test_an_upgrade_may_give_the_operator_another_account(control_plane: ControlPlane, namespace: str) -> None:
    roll_out(control_plane, "install", namespace, over(STORES, {}))
    account = {"operator": {"serviceAccount": {"name": "irsa"}}}

    roll_out(control_plane, "upgrade", namespace, over(STORES, account))

    binding = control_plane.get(f"rolebinding/{NAME}-operator", "-n", namespace)
    assert [subject["name"] for subject in binding["subjects"]] == ["irsa"]


def test_an_upgrade_leaves_out_a_namespace_that_is_gone_and_returns_with_it(
    control_plane: ControlPlane, namespace: str
) -> None:
    team = f"{namespace}-team"
    values = over(STORES, {"operator": {"namespaces": [namespace, team]}})
    role = ("role", "-n", team, "-o", "name")
    control_plane.run("create", "namespace", team)
    try:
        roll_out(control_plane, "install", namespace, values)
        assert control_plane.run("get", *role).stdout
        control_plane.run("delete", "namespace", team, "--timeout=60s")

        notes = roll_out(control_plane, "upgrade", namespace, values)

        assert f"the operator has no rights there: {team}." in notes
        control_plane.run("create", "namespace", team)
        assert "has no rights there" not in roll_out(control_plane, "upgrade", namespace, values)
        assert control_plane.run("get", *role).stdout
    finally:
        control_plane.run("delete", "namespace", team, "--wait=false", "--ignore-not-found")


def test_a_namespace_that_was_never_there_fails_the_installation(control_plane: ControlPlane, namespace: str) -> None:
    values = over(STORES, {"operator": {"namespaces": [namespace, f"{namespace}-typo"]}})
    with pytest.raises(subprocess.CalledProcessError) as refused:
        roll_out(control_plane, "install", namespace, values)
    assert f'namespaces "{namespace}-typo" not found' in str(refused.value.stderr)


def test_the_crd_and_the_agent_tasks_stay_after_an_uninstall(control_plane: ControlPlane, namespace: str) -> None:
    roll_out(control_plane, "install", namespace, over(STORES, {}))
    task = {"apiVersion": "agentorchestrator.dev/v1alpha1", "kind": "AgentTask", "spec": {"task": "Stay."}}
    control_plane.apply({**task, "metadata": {"name": "stays", "namespace": namespace}})
    # Without a kubelet the Job before the uninstall would not run; test_uninstall.py runs its program.
    helm("uninstall", RELEASE, "--no-hooks", "--namespace", namespace, kubeconfig=control_plane.kubeconfig)
    assert control_plane.get("agenttask/stays", "-n", namespace)["spec"]["task"] == "Stay."


def test_the_crd_of_a_newer_chart_is_not_replaced(control_plane: ControlPlane, namespace: str) -> None:
    crd, version = "crd/agenttasks.agentorchestrator.dev", "agentorchestrator.dev/chart-version"
    control_plane.run("annotate", crd, f"{version}=99.0.0", "--overwrite")
    try:
        with pytest.raises(subprocess.CalledProcessError) as refused:
            roll_out(control_plane, "install", namespace, over(STORES, {}))
        assert "crds.install: the cluster has the CRD of the newer chart 99.0.0" in str(refused.value.stderr)
        roll_out(control_plane, "install", namespace, over(STORES, {"crds": {"install": False}}))
        assert control_plane.get(crd)["metadata"]["annotations"][version] == "99.0.0"
    finally:
        control_plane.run("annotate", crd, f"{version}-")

    roll_out(control_plane, "upgrade", namespace, over(STORES, {}))

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert control_plane.get(crd)["metadata"]["annotations"][version] == chart


def service_key(plane: ControlPlane, namespace: str) -> str:
    return secret(plane, namespace, "keys")["service-key"]


def test_helm_keeps_the_service_key_and_one_that_has_been_rotated(control_plane: ControlPlane, namespace: str) -> None:
    roll_out(control_plane, "install", namespace, over(STORES, {}))
    made = service_key(control_plane, namespace)
    assert len(made) >= 32
    roll_out(control_plane, "upgrade", namespace, over(STORES, {"env": {"LOG_LEVEL": "DEBUG"}}))
    assert service_key(control_plane, namespace) == made

    rotated = "f" * 64
    change = json.dumps({"stringData": {"service-key": rotated}})
    control_plane.run("patch", "secret", f"{NAME}-keys", "-n", namespace, "-p", change)
    roll_out(control_plane, "upgrade", namespace, over(STORES, {}))
    assert service_key(control_plane, namespace) == rotated


def test_an_upgrade_from_the_released_chart_keeps_the_service_key(control_plane: ControlPlane, namespace: str) -> None:
    # The CRD of this session is of this version already.
    old = {"stores": {"mongoUri": "mongodb://mongodb/", "redisUrl": "redis://valkey/"}, "crds": {"install": False}}
    roll_out(control_plane, "install", namespace, old, chart=RELEASED)
    made = service_key(control_plane, namespace)

    roll_out(control_plane, "upgrade", namespace, over(STORES, {}))

    assert service_key(control_plane, namespace) == made


def test_helm_sees_the_cluster_before_it_has_created_the_namespace(control_plane: ControlPlane, namespace: str) -> None:
    new = f"{namespace}-new"
    try:
        roll_out(control_plane, "install", new, over(STORES, {}), "--create-namespace")
        assert len(service_key(control_plane, new)) >= 32
    finally:
        control_plane.run("delete", "namespace", new, "--wait=false")
