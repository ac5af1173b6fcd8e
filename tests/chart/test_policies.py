"""Rules for all objects of the chart, with each of the examples: security, names, references."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CI_VALUES, render

LONGEST_NAME = 63
LONG_RELEASE = "a-release-with-quite-a-long-name-as-pipelines-make-it"  # 53 characters, the maximum of Helm
RESOLVERS = ("10.43.0.10", "169.254.20.10", "fd00::10")
DEVELOPMENT = ("valkey", "mongodb", "simulator")
METADATA_SERVICES = ("169.254.169.254", "fd00:ec2::254")
Objects = list[dict[str, Any]]
LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component")


@pytest.fixture(scope="module", params=CI_VALUES, ids=lambda path: path.stem.removesuffix("-values"))
def objects(request: pytest.FixtureRequest) -> Objects:
    example: Path = request.param
    return render("team", values=yaml.safe_load(example.read_text()), release=LONG_RELEASE)


def pods(objects: Objects) -> Iterator[dict[str, Any]]:
    """Yields the specification of every pod: those of Deployments and Jobs, and the pod of `helm test`."""
    for body in objects:
        if body["kind"] in ("Deployment", "Job"):
            yield body["spec"]["template"]["spec"]
        elif body["kind"] == "Pod":
            yield body["spec"]


def containers(objects: Objects) -> Iterator[dict[str, Any]]:
    for pod in pods(objects):
        yield from pod["containers"]


def names(objects: Objects, kind: str) -> set[str]:
    return {body["metadata"]["name"] for body in objects if body["kind"] == kind}


def test_pods_keep_to_the_restricted_level_of_pod_security(objects: Objects) -> None:
    for pod in pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {kind for volume in pod["volumes"] for kind in volume} <= {"name", "emptyDir", "secret", "configMap"}
    for container in containers(objects):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_only_the_operator_and_its_uninstall_have_a_service_account_token(objects: Objects) -> None:
    with_token = [pod for pod in pods(objects) if pod["automountServiceAccountToken"]]
    assert {pod["containers"][0]["name"] for pod in with_token} <= {"operator", "uninstall"}


def test_a_pod_cannot_fill_the_disk_of_its_node(objects: Objects) -> None:
    for pod in pods(objects):
        if pod["containers"][0]["name"] in DEVELOPMENT:  # see test_released.py: they stay as they are
            continue
        assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if volume["name"] == "tmp")


def test_the_cluster_autoscaler_may_remove_a_node_with_any_pod(objects: Objects) -> None:
    for body in objects:
        component = body["metadata"].get("labels", {}).get(LABELS[-1])
        if body["kind"] != "Deployment" or component not in ("api", "worker", "operator"):
            continue
        template = body["spec"]["template"]
        local = {volume["name"] for volume in template["spec"]["volumes"] if "emptyDir" in volume}
        annotation = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
        assert set(template["metadata"]["annotations"][annotation].split(",")) == local


def test_containers_have_requests_and_limits(objects: Objects) -> None:
    for container in containers(objects):
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_no_variable_is_set_twice(objects: Objects) -> None:
    for container in containers(objects):
        variables = [variable["name"] for variable in container.get("env", [])]
        assert sorted(variables) == sorted(set(variables))


def test_no_image_has_a_tag_that_moves(objects: Objects) -> None:
    for container in containers(objects):
        image = container["image"]
        assert "@sha256:" in image or (":" in image.rpartition("/")[2] and not image.endswith(":latest")), image


def test_names_are_short_enough_with_their_component(objects: Objects) -> None:
    """Skips names that begin with the namespace: their kinds allow longer names."""
    for body in objects:
        name, labels = body["metadata"]["name"], body["metadata"].get("labels", {})
        if LABELS[-1] not in labels or name.startswith("team."):
            continue
        assert len(name) <= LONGEST_NAME
        assert name.endswith((f"-{labels[LABELS[-1]]}", "-autoscaler"))
        assert max(map(len, labels.values())) <= LONGEST_NAME


def test_every_secret_and_config_map_that_a_pod_reads_exists(objects: Objects) -> None:
    made = names(objects, "Secret") | names(objects, "ExternalSecret")
    elsewhere = {"orchestrator-stores", "orchestrator-models", "orchestrator-plugins", "orchestrator-service-key"}
    for container in containers(objects):
        sources = [variable["valueFrom"] for variable in container.get("env", []) if "valueFrom" in variable]
        sources += container.get("envFrom", [])
        for source in sources:
            if secret := source.get("secretKeyRef") or source.get("secretRef"):
                assert secret["name"] in made | elsewhere
            if settings := source.get("configMapRef"):
                assert settings["name"] in names(objects, "ConfigMap")
    for pod in pods(objects):
        mounted = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        assert mounted <= made | elsewhere


def test_referenced_accounts_roles_and_services_exist(objects: Objects) -> None:
    for pod in pods(objects):
        assert pod.get("serviceAccountName") in {None, *names(objects, "ServiceAccount")}
    roles = {(body["kind"], body["metadata"]["name"]) for body in objects}
    for body in objects:
        if body["kind"] == "RoleBinding":
            assert ("Role", body["roleRef"]["name"]) in roles
            assert {subject["name"] for subject in body["subjects"]} <= names(objects, "ServiceAccount")
        if body["kind"] == "Ingress":
            backends = [path["backend"] for rule in body["spec"]["rules"] for path in rule["http"]["paths"]]
            assert {backend["service"]["name"] for backend in backends} <= names(objects, "Service")
        if body["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            assert body["spec"]["scaleTargetRef"]["name"] in names(objects, "Deployment")


def test_selectors_match_the_pods_of_one_component(objects: Objects) -> None:
    labels = [body["spec"]["template"]["metadata"]["labels"] for body in objects if body["kind"] == "Deployment"]
    for body in objects:
        if body["kind"] not in ("Service", "PodDisruptionBudget", "ServiceMonitor", "PodMonitor"):
            continue
        selector = body["spec"]["selector"]
        chosen = selector.get("matchLabels", selector)
        assert set(chosen) == set(LABELS)
        matching = [found for found in labels if chosen.items() <= found.items()]
        assert len(matching) == 1, body["metadata"]["name"]


def test_no_pod_reaches_the_instance_metadata_and_every_pod_a_name_service(objects: Objects) -> None:
    policies = [body["spec"] for body in objects if body["kind"] == "NetworkPolicy"]
    (default,) = [spec for spec in policies if "app.kubernetes.io/component" not in spec["podSelector"]["matchLabels"]]
    assert set(default["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in default
    for spec in policies:
        for rule in spec.get("egress", []):
            assert rule["to"], "a rule without `to` allows every address"
            assert not any(allows(rule, service) for service in METADATA_SERVICES)
    (names,) = [rule for rule in default["egress"] if {"protocol": "UDP", "port": 53} in rule.get("ports", [])]
    assert all(allows(names, resolver) for resolver in RESOLVERS)


def allows(rule: dict[str, Any], address: str) -> bool:
    return any(reaches(peer["ipBlock"], address) for peer in rule["to"] if "ipBlock" in peer)


def reaches(block: dict[str, Any], address: str) -> bool:
    at = ipaddress.ip_address(address)
    inside = at in ipaddress.ip_network(block["cidr"])
    return inside and not any(at in ipaddress.ip_network(part) for part in block.get("except", []))


def test_every_pod_has_a_network_policy(objects: Objects) -> None:
    (everything,) = [
        body["spec"]["podSelector"]["matchLabels"]
        for body in objects
        if body["kind"] == "NetworkPolicy" and body["metadata"]["name"].endswith("-pods")
    ]
    for body in objects:
        labels = {
            "Deployment": lambda body: body["spec"]["template"]["metadata"]["labels"],
            "Job": lambda body: body["spec"]["template"]["metadata"]["labels"],
            "Pod": lambda body: body["metadata"]["labels"],
        }.get(body["kind"])
        if labels is not None:
            assert everything.items() <= labels(body).items()


def test_workers_get_the_deadline_of_a_task_to_stop(objects: Objects) -> None:
    (deadline,) = [
        int(body["data"]["AGENT_TASK_DEADLINE_SECONDS"])
        for body in objects
        if body["kind"] == "ConfigMap" and "AGENT_TASK_DEADLINE_SECONDS" in body["data"]
    ]
    (worker,) = [pod for pod in pods(objects) if pod["containers"][0]["name"] == "worker"]
    assert worker["terminationGracePeriodSeconds"] > deadline
