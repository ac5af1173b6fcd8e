"""What the chart makes of values: names, environments, and what moves a pod."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendering import STORES, render

COMPONENTS = ("api", "worker", "operator")
Objects = list[dict[str, Any]]


def pod_of(objects: Objects, component: str) -> dict[str, Any]:
    (found,) = [
        body
        for body in objects
        if body["kind"] == "Deployment" and body["metadata"]["labels"]["app.kubernetes.io/component"] == component
    ]
    template: dict[str, Any] = found["spec"]["template"]
    return template


def environment(objects: Objects, component: str) -> dict[str, Any]:
    """Of the component's container, by name; a name that stands twice would be an error of Kubernetes."""
    (container,) = pod_of(objects, component)["spec"]["containers"]
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names))
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}


def over(**values: Any) -> Objects:
    return render("team", values={**STORES, **values})


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_all_share_reaches_all(component: str) -> None:
    objects = over(env={"AGENT_QUEUE_NAME": "other", component: "own"}, **{component: {"env": {component: "its own"}}})
    assert environment(objects, component)["AGENT_QUEUE_NAME"] == "other"
    assert environment(objects, component)[component] == "its own"


def test_numbers_of_a_values_file_keep_their_digits() -> None:
    objects = over(
        env={"AGENT_API_MAX_BODY_BYTES": 16_777_216, "AGENT_SHARE": 0.25, "AGENT_FLAG": True},
        images={"tag": 1_234_567},
        worker={"autoscaling": {"policy": {"max_replicas": 1_000_000}}},
    )
    told = environment(objects, "worker")
    shown = [told[name] for name in ("AGENT_API_MAX_BODY_BYTES", "AGENT_SHARE", "AGENT_FLAG")]
    assert shown == ["16777216", "0.25", "true"]
    assert pod_of(objects, "api")["spec"]["containers"][0]["image"] == "agent-orchestrator-api:1234567"
    assert "max_replicas=1000000" in environment(objects, "operator")["AGENT_AUTOSCALER_POLICY"]


def test_a_worker_is_given_as_long_as_a_task_may_take() -> None:
    objects = over(tasks={"deadlineSeconds": 7_200})
    assert environment(objects, "api")["AGENT_TASK_DEADLINE_SECONDS"] == "7200"
    assert environment(objects, "worker")["AGENT_WORKER_GRACE_SECONDS"] == "7200"
    assert pod_of(objects, "worker")["spec"]["terminationGracePeriodSeconds"] > 7_200


@pytest.mark.parametrize("component", COMPONENTS)
def test_other_stores_move_every_pod_that_uses_them(component: str) -> None:
    elsewhere = {"stores": {"mongoUri": "mongodb://other/", "redisUrl": "redis://other/"}}
    before, after = (pod_of(render("team", values=values), component) for values in (STORES, elsewhere))
    assert before["metadata"]["annotations"] != after["metadata"]["annotations"]
    assert "other" not in str(after)


def test_secrets_that_are_there_are_used_and_none_is_made() -> None:
    objects = render("team", values={"stores": {"existingSecret": "mine"}, "serviceKey": {"existingSecret": "key"}})
    assert not [body for body in objects if body["kind"] == "Secret"]
    assert environment(objects, "worker")["MONGO_URI"]["secretKeyRef"]["name"] == "mine"
    assert environment(objects, "api")["AGENT_BOOTSTRAP_SERVICE_KEY"]["secretKeyRef"]["name"] == "key"
    assert [volume["secret"]["secretName"] for volume in pod_of(objects, "operator")["spec"]["volumes"][1:]] == ["key"]


def test_keys_of_models_reach_the_workers_alone() -> None:
    objects = over(worker={"envFromSecret": "models"}, dev={"simulator": {"enabled": True}})
    with_secret = [name for name in COMPONENTS if "envFrom" in pod_of(objects, name)["spec"]["containers"][0]]
    with_key = [name for name in COMPONENTS if "OPENAI_API_KEY" in environment(objects, name)]
    assert (with_secret, with_key) == (["worker"], ["worker"])


def test_replicas_are_named_only_where_nothing_scales() -> None:
    def named(mode: str) -> bool:
        objects = over(worker={"autoscaling": {"mode": mode}})
        (worker,) = [body for body in objects if body["metadata"]["name"].endswith("-worker")]
        return "replicas" in worker["spec"]

    assert (named("operator"), named("none")) == (False, True)


def test_rights_are_given_in_each_namespace_that_is_served() -> None:
    objects = over(operator={"namespaces": ["one", "two", "one"]})
    roles = [(body["kind"], body["metadata"].get("namespace")) for body in objects if body["kind"].startswith("Role")]
    assert roles.count(("Role", "one")) == roles.count(("RoleBinding", "two")) == 1
    (account,) = [body for body in objects if body["kind"] == "ServiceAccount"]
    bindings = [body for body in objects if body["kind"] == "RoleBinding"]
    assert {body["subjects"][0]["namespace"] for body in bindings} == {"team"}
    assert {body["subjects"][0]["name"] for body in bindings} == {account["metadata"]["name"]}


def test_releases_that_serve_one_namespace_have_rights_of_their_own_there() -> None:
    names: list[set[tuple[str, str]]] = []
    for namespace in ("team", "other", "shared"):
        objects = render(namespace, values={**STORES, "operator": {"namespaces": ["shared"]}})
        there = [body for body in objects if body["metadata"].get("namespace") == "shared"]
        names.append({(body["kind"], body["metadata"]["name"]) for body in there})
    assert [len(found) for found in names] == [2, 2, 2]
    assert len(set().union(*names)) == 6


def test_without_an_operator_nothing_of_it_is_there() -> None:
    objects = over(operator={"enabled": False}, worker={"autoscaling": {"mode": "none"}})
    kinds = {body["kind"] for body in objects}
    assert kinds == {"CustomResourceDefinition", "Secret", "Service", "Deployment"}


def test_names_are_short_enough_and_no_two_releases_share_any() -> None:
    names: list[set[tuple[str, str]]] = []
    for namespace, release in (("team", "a-b"), ("team-a", "b"), ("team", "x" * 52 + "1"), ("team", "x" * 52 + "2")):
        objects = [body for body in render(namespace, release=release) if body["kind"] != "CustomResourceDefinition"]
        in_namespaces = [body["metadata"]["name"] for body in objects if not is_of_the_cluster(body)]
        assert max(map(len, in_namespaces)) <= 63
        names.append({(body["kind"], body["metadata"]["name"]) for body in objects if is_of_the_cluster(body)})
    assert len(set().union(*names)) == sum(len(found) for found in names)


def is_of_the_cluster(body: dict[str, Any]) -> bool:
    return str(body["kind"]).startswith(("Cluster", "Validating"))
