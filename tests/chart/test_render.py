"""The objects that the chart renders from values: names, environments, and changes that restart pods."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.api.views.system import QueueView
from app.main import create_app
from app.settings import load_settings
from tests.chart.rendering import CHART, CI_VALUES, KEY, NAME, RELEASE, STORES, helm, over, render

COMPONENTS = ("api", "worker", "operator")
TO = ("webTo", "storesTo", "apiServerTo", "dnsTo")
IDS = {"runAsUser", "runAsGroup", "fsGroup"}
Objects = list[dict[str, Any]]


def deployment_of(objects: Objects, component: str) -> dict[str, Any]:
    (found,) = [
        body
        for body in objects
        if body["kind"] == "Deployment" and body["metadata"]["labels"]["app.kubernetes.io/component"] == component
    ]
    return found


def pod_of(objects: Objects, component: str) -> dict[str, Any]:
    template: dict[str, Any] = deployment_of(objects, component)["spec"]["template"]
    return template


def environment(objects: Objects, component: str) -> dict[str, Any]:
    """Returns the variables of the component's container. As in Kubernetes, they override the shared settings."""
    (container,) = pod_of(objects, component)["spec"]["containers"]
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names))
    (shared,) = [body["data"] for body in objects if body["kind"] == "ConfigMap"]
    own = {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}
    return {**shared, **own}


def mounted_secrets(objects: Objects, component: str) -> list[str]:
    """Returns the names of the Secrets that the component's pod has as files."""
    volumes = pod_of(objects, component)["spec"]["volumes"]
    return [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]


def rendered(**values: Any) -> Objects:
    return render("team", values=over(STORES, values))


@pytest.mark.parametrize("component", COMPONENTS)
def test_shared_settings_reach_all_components(component: str) -> None:
    own = {component: {"env": {component: "its own"}}}
    objects = rendered(env={"AGENT_QUEUE_NAME": "other", component: "own"}, **own)
    assert environment(objects, component)["AGENT_QUEUE_NAME"] == "other"
    assert environment(objects, component)[component] == "its own"


def test_numbers_in_values_keep_their_digits() -> None:
    objects = rendered(
        env={"AGENT_API_MAX_BODY_BYTES": 16_777_216, "AGENT_SHARE": 0.25, "AGENT_FLAG": True},
        images={"tag": "1234567"},
        worker={"autoscaling": {"policy": {"max_replicas": 10_000}}},
    )
    variables = environment(objects, "worker")
    shown = [variables[name] for name in ("AGENT_API_MAX_BODY_BYTES", "AGENT_SHARE", "AGENT_FLAG")]
    assert shown == ["16777216", "0.25", "true"]
    assert pod_of(objects, "api")["spec"]["containers"][0]["image"] == "agent-orchestrator-api:1234567"
    assert "max_replicas=10000" in environment(objects, "operator")["AGENT_AUTOSCALER_POLICY"].split()


def test_a_worker_gets_the_deadline_of_a_task_to_stop() -> None:
    objects = rendered(tasks={"deadlineSeconds": 7_200})
    assert environment(objects, "api")["AGENT_TASK_DEADLINE_SECONDS"] == "7200"
    assert environment(objects, "worker")["AGENT_WORKER_GRACE_SECONDS"] == "7200"
    assert pod_of(objects, "worker")["spec"]["terminationGracePeriodSeconds"] > 7_200


@pytest.mark.parametrize("component", COMPONENTS)
def test_changed_stores_restart_every_pod(component: str) -> None:
    elsewhere = {"secrets": {"inline": {"stores": {"MONGO_URI": "mongodb://other/", "REDIS_URL": "redis://other/"}}}}
    before, after = (pod_of(render("team", values=values), component) for values in (STORES, elsewhere))
    assert before["metadata"]["annotations"] != after["metadata"]["annotations"]
    assert "other" not in str(after)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize(
    "changed", [{"env": {"LOG_LEVEL": "DEBUG"}}, {"tasks": {"deadlineSeconds": 1_800}}], ids=["env", "deadline"]
)
def test_changed_settings_restart_every_pod(component: str, changed: dict[str, Any]) -> None:
    before, after = (pod_of(objects, component) for objects in (rendered(), rendered(**changed)))
    assert before["metadata"]["annotations"] != after["metadata"]["annotations"]


def test_a_changed_secret_of_the_workers_restarts_only_the_workers() -> None:
    before, after = rendered(), rendered(secrets={"inline": {"worker": {"WEATHER_KEY": "k"}}})
    moved = [name for name in COMPONENTS if pod_of(before, name) != pod_of(after, name)]
    assert moved == ["worker"]


def test_own_labels_and_annotations_are_added_to_those_of_the_chart() -> None:
    own = {"podAnnotations": {"prometheus.io/scrape": "false", "own": "1"}, "podLabels": {"team": "a"}}
    metadata = pod_of(rendered(api=own, monitoring={"scrapeAnnotations": True}), "api")["metadata"]
    assert metadata["annotations"]["prometheus.io/scrape"] == "true"
    assert metadata["annotations"]["own"] == "1"
    assert metadata["labels"]["team"] == "a"


def test_a_spread_without_a_selector_applies_to_the_pods_of_its_component() -> None:
    own = {"labelSelector": {"matchLabels": {"team": "a"}}, "maxSkew": 1, "topologyKey": "zone"}
    constraints = [own, {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname"}]
    objects = rendered(worker={"topologySpreadConstraints": constraints})
    first, second = pod_of(objects, "worker")["spec"]["topologySpreadConstraints"]
    assert first == own
    assert second["labelSelector"]["matchLabels"] == pod_of(objects, "worker")["metadata"]["labels"]


def test_peers_that_read_metrics_may_reach_the_api_too() -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in ("web", "watch")]
    objects = rendered(networkPolicy={"apiFrom": peers[:1], "metricsFrom": peers[1:]})
    policies = {body["metadata"]["name"]: body["spec"] for body in objects if body["kind"] == "NetworkPolicy"}
    assert [peer in policies[f"{NAME}-api"]["ingress"][0]["from"] for peer in peers] == [True, True]
    assert [peer in policies[f"{NAME}-worker"]["ingress"][0]["from"] for peer in peers] == [False, True]


def test_pods_may_be_limited_to_the_peers_that_they_need() -> None:
    peers = {name: [{"ipBlock": {"cidr": f"10.0.{number}.0/24"}}] for number, name in enumerate(TO)}
    objects = rendered(networkPolicy={**peers, "dnsPorts": [53, 5353]})
    policies = {body["metadata"]["name"]: body["spec"] for body in objects if body["kind"] == "NetworkPolicy"}

    def called(component: str) -> dict[int, Any]:
        rules = policies[f"{NAME}-{component}"]["egress"]
        return {port["port"]: rule["to"] for rule in rules for port in rule.get("ports", [])}

    for component in ("api", "worker"):
        assert (called(component)[443], called(component)[27017]) == (peers["webTo"], peers["storesTo"])
    assert (called("operator")[6443], called("operator")[6379]) == (peers["apiServerTo"], peers["storesTo"])
    assert called("uninstall") == {443: peers["apiServerTo"], 6443: peers["apiServerTo"]}
    assert called("pods") == {53: peers["dnsTo"], 5353: peers["dnsTo"]}


def test_without_ports_of_stores_none_is_open() -> None:
    objects = rendered(networkPolicy={"storePorts": []})
    policies = {body["metadata"]["name"]: body["spec"] for body in objects if body["kind"] == "NetworkPolicy"}
    (rule,) = policies[f"{NAME}-worker"]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]


def test_ids_may_be_left_to_the_cluster() -> None:
    """OpenShift chooses the ids, and refuses pods that name others."""
    context = pod_of(rendered(podSecurityContext=dict.fromkeys(IDS)), "worker")["spec"]["securityContext"]
    assert not context.keys() & IDS
    assert context["runAsNonRoot"] is True


def test_a_changed_key_of_a_provider_restarts_no_pod() -> None:
    def pods(key: str) -> list[Any]:
        objects = rendered(secrets={"inline": {"providers": {"OPENAI_API_KEY": key}}})
        return [pod_of(objects, component) for component in COMPONENTS]

    assert pods("old") == pods("new")


def test_existing_secrets_are_used_and_none_is_created() -> None:
    existing = {"mode": "existing", "existing": {"stores": "mine", "providers": "models", "worker": "plugins"}}
    objects = render("team", values={"secrets": existing, "serviceKey": {"existingSecret": "key"}})
    assert not [body for body in objects if body["kind"] == "Secret"]
    assert mounted_secrets(objects, "worker") == ["models"]
    assert environment(objects, "worker")["MONGO_URI"]["secretKeyRef"]["name"] == "mine"
    assert mounted_secrets(objects, "api") == mounted_secrets(objects, "operator") == ["key"]


def test_own_certificate_authorities_are_mounted_in_every_pod() -> None:
    objects = rendered(trust={"configMap": "authorities"})
    for component in COMPONENTS:
        pod = pod_of(objects, component)["spec"]
        assert {"name": "trust", "configMap": {"name": "authorities"}} in pod["volumes"]
        mounts = pod["containers"][0]["volumeMounts"]
        assert {"name": "trust", "mountPath": "/trust", "readOnly": True} in mounts
    assert "/trust" not in str(pod_of(rendered(), "worker"))


def test_keys_of_providers_reach_only_the_workers_and_as_files() -> None:
    objects = rendered(secrets={"inline": {"providers": {"OPENAI_API_KEY": "k"}, "worker": {"WEATHER_KEY": "w"}}})
    with_file = [name for name in COMPONENTS if "OPENAI_API_KEY_FILE" in environment(objects, name)]
    with_secret = [
        name
        for name in COMPONENTS
        if any("secretRef" in source for source in pod_of(objects, name)["spec"]["containers"][0]["envFrom"])
    ]
    assert (with_file, with_secret) == (["worker"], ["worker"])
    assert "OPENAI_API_KEY" not in environment(objects, "worker")


def test_a_simulator_replaces_the_providers() -> None:
    variables = environment(rendered(dev={"simulator": {"enabled": True}}), "worker")
    assert variables["OPENAI_BASE_URL"] == "http://ao-agent-orchestrator-simulator:8099/v1"
    assert variables["OPENAI_API_KEY"] == variables["TAVILY_API_KEY"] == "simulated"


def test_the_operator_may_have_its_own_redis_address() -> None:
    existing = {"mode": "existing", "existing": {"stores": "mine"}}
    operator = {"redisKeys": {"REDIS_URL": "OPERATOR_REDIS_URL"}}
    objects = render("team", values={"secrets": existing, "operator": operator})
    assert environment(objects, "operator")["REDIS_URL"]["secretKeyRef"]["key"] == "OPERATOR_REDIS_URL"
    assert environment(objects, "worker")["REDIS_URL"]["secretKeyRef"]["key"] == "REDIS_URL"
    assert "MONGO_URI" not in environment(objects, "operator")


def test_an_image_may_have_a_complete_reference() -> None:
    reference = f"other.internal/worker@sha256:{'0' * 64}"
    objects = rendered(images={"registry": "registry.internal/", "tag": "1.2", "references": {"worker": reference}})
    images = {name: pod_of(objects, name)["spec"]["containers"][0]["image"] for name in COMPONENTS}
    assert images["api"] == "registry.internal/agent-orchestrator-api:1.2"
    assert images["worker"] == reference


@pytest.mark.parametrize("mode", ["operator", "keda", "hpa", "none"])
def test_the_workers_have_exactly_one_scaler(mode: str) -> None:
    objects = rendered(worker={"autoscaling": {"mode": mode}})
    kinds = {body["kind"] for body in objects}
    scalers = {"ScaledObject", "HorizontalPodAutoscaler"} & kinds
    assert scalers == {"keda": {"ScaledObject"}, "hpa": {"HorizontalPodAutoscaler"}}.get(mode, set())
    scales = "AGENT_OPERATOR_WORKER_DEPLOYMENT" in environment(objects, "operator")
    assert scales is (mode == "operator")


def test_keda_counts_the_tasks_that_may_run() -> None:
    keda = rendered(worker={"autoscaling": {"mode": "keda"}})
    (scaler,) = [body["spec"] for body in keda if body["kind"] == "ScaledObject"]
    figures = {trigger["name"]: trigger["metadata"]["valueLocation"] for trigger in scaler["triggers"]}
    assert figures == {"sent": "queue.listed", "runnable": "queue.runnable", "running": "queue.processing"}
    assert set(scaler["advanced"]["scalingModifiers"]["formula"].split(" + ")) == figures.keys()
    parts = [figure.removeprefix("queue.") for figure in figures.values()]
    assert set(parts) <= QueueView.model_fields.keys()


def test_keda_may_have_a_key_that_can_only_read() -> None:
    def source(**keda: str) -> dict[str, str]:
        objects = rendered(worker={"autoscaling": {"mode": "keda", "keda": keda}})
        (found,) = [body for body in objects if body["kind"] == "TriggerAuthentication"]
        (reference,) = found["spec"]["secretTargetRef"]
        return dict(reference)

    own = source(existingSecret="reader")
    assert own == {"parameter": "apiKey", "name": "reader", "key": "api-key"}
    assert source() == {"parameter": "apiKey", "name": "orchestrator-service-key", "key": "service-key"}


def test_only_the_volume_of_the_chart_may_be_lost_with_its_node_unless_the_values_name_others() -> None:
    annotation = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"

    def disposable(component: str, **own: Any) -> str:
        added = {"extraVolumes": [{"name": "own", "emptyDir": {}}], **own}
        pod = pod_of(rendered(**{component: added}), component)
        return str(pod["metadata"]["annotations"][annotation])

    for component in COMPONENTS:
        assert disposable(component) == "tmp"
        assert disposable(component, podAnnotations={annotation: "tmp,own"}) == "tmp,own"
        assert disposable(component, podAnnotations={annotation: ""}) == ""


def test_disruption_budgets_keep_all_but_one() -> None:
    def budgets(replicas: int) -> set[str]:
        objects = rendered(api={"replicas": replicas})
        found = [body for body in objects if body["kind"] == "PodDisruptionBudget"]
        assert {body["spec"]["maxUnavailable"] for body in found} == {1}
        return {body["metadata"]["labels"]["app.kubernetes.io/component"] for body in found}

    assert (budgets(1), budgets(2)) == ({"worker"}, {"api", "worker"})


@pytest.mark.parametrize("cpu", ["250m", 1, "0.5"])
def test_an_api_that_is_scaled_has_no_fixed_number_of_pods(cpu: str | float) -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 900}}
    api = {"autoscaling": {"enabled": True, "behavior": behavior}, "resources": {"requests": {"cpu": cpu}}}
    objects = rendered(api=api)
    (scaler,) = [body for body in objects if body["kind"] == "HorizontalPodAutoscaler"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == scaler["metadata"]["name"] == f"{NAME}-api"
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["behavior"]) == (2, behavior)
    assert "replicas" not in deployment_of(objects, "api")["spec"]
    budgets = [body["metadata"]["name"] for body in objects if body["kind"] == "PodDisruptionBudget"]
    assert f"{NAME}-api" in budgets


def test_an_ingress_leads_to_the_api_over_tls() -> None:
    objects = rendered(ingress={"enabled": True, "hosts": ["a.example.com", "b.example.com"], "tlsSecret": "cert"})
    (ingress,) = [body for body in objects if body["kind"] == "Ingress"]
    assert ingress["spec"]["tls"] == [{"hosts": ["a.example.com", "b.example.com"], "secretName": "cert"}]
    backends = {rule["host"]: rule["http"]["paths"][0]["backend"]["service"] for rule in ingress["spec"]["rules"]}
    service = {"name": "ao-agent-orchestrator-api", "port": {"name": "http"}}
    assert backends == {"a.example.com": service, "b.example.com": service}


def test_an_ingress_exposes_no_path_that_needs_no_key() -> None:
    def shown(**ingress: Any) -> dict[str, Any]:
        objects = rendered(ingress={"enabled": True, "hosts": ["a.example.com"], **ingress})
        (found,) = [body["spec"] for body in objects if body["kind"] == "Ingress"]
        spec: dict[str, Any] = found
        return spec

    (rule,) = shown()["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/v1", "/docs", "/openapi.json", "/health"]
    assert "ingressClassName" not in shown(), "the cluster's default class"
    assert shown(className="nginx")["ingressClassName"] == "nginx"
    tls = [{"hosts": ["a.example.com"]}]
    assert shown(tls=tls)["tls"] == tls


@pytest.mark.parametrize(
    ("exposure", "address"),
    [
        ({}, "http://127.0.0.1:8080/docs"),
        ({"ingress": {"enabled": True, "hosts": ["a.example.com"], "tlsSecret": "t"}}, "https://a.example.com/docs"),
        (
            {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}], "hosts": ["a.example.com"]}},
            "https://a.example.com/docs",
        ),
        (
            {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}},
            "/docs at the hosts of the Gateway public",
        ),
    ],
)
def test_the_notes_name_the_address_of_the_api(exposure: dict[str, Any], address: str) -> None:
    text = helm("install", RELEASE, str(CHART), "--dry-run=client", values={**STORES, **KEY, **exposure})
    notes = text.partition("NOTES:")[2]
    assert address in notes
    assert ("port-forward" in notes) == (not exposure)


async def test_the_page_of_the_api_is_exposed_with_all_that_it_loads() -> None:
    transport = httpx.ASGITransport(create_app(load_settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        page = (await client.get("/docs")).text
    loaded = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", page)
    assert {path.rpartition(".")[2] for path in loaded} == {"js", "css", "png", "json"}
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    for exposed in (values["ingress"]["paths"], values["httpRoute"]["paths"]):
        # Prefixes match whole elements of a path.
        assert [path for path in ("/docs", *loaded) if not any(f"{path}/".startswith(f"{of}/") for of in exposed)] == []


def test_a_route_leads_from_a_gateway_to_the_api() -> None:
    parents = [{"name": "public", "namespace": "gateways"}]
    route = {"enabled": True, "parentRefs": parents, "hosts": ["a.example.com"], "timeouts": {"request": "90s"}}
    (found,) = [body for body in rendered(httpRoute=route) if body["kind"] == "HTTPRoute"]
    assert found["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert (found["spec"]["parentRefs"], found["spec"]["hostnames"]) == (parents, ["a.example.com"])
    (rule,) = found["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": f"{NAME}-api", "port": 80}]
    assert {"path": {"type": "PathPrefix", "value": "/v1"}} in rule["matches"]
    assert "/metrics" not in str(rule)
    assert rule["timeouts"] == {"request": "90s"}


def test_annotations_or_monitors_name_the_metrics_ports() -> None:
    def ports(objects: Objects) -> dict[str, Any]:
        by_component = {name: pod_of(objects, name)["metadata"]["annotations"] for name in COMPONENTS}
        return {name: annotations.get("prometheus.io/port") for name, annotations in by_component.items()}

    assert ports(rendered()) == {"api": None, "worker": None, "operator": None}
    annotated = ports(rendered(monitoring={"scrapeAnnotations": True}))
    assert annotated == {"api": "8080", "worker": "9100", "operator": "9110"}
    objects = rendered(monitoring={"monitors": True, "labels": {"release": "prometheus"}})
    monitors = [body for body in objects if body["kind"].endswith("Monitor")]
    assert {body["kind"] for body in monitors} == {"ServiceMonitor", "PodMonitor"}
    assert {body["metadata"]["labels"]["release"] for body in monitors} == {"prometheus"}


def test_monitors_take_a_timeout_and_relabelings() -> None:
    cluster = [{"targetLabel": "cluster", "replacement": "production"}]
    drop = [{"sourceLabels": ["__name__"], "regex": "python_.*", "action": "drop"}]
    further = {"scrapeTimeout": "10s", "relabelings": cluster, "metricRelabelings": drop}
    monitors = [body for body in rendered(monitoring={"monitors": True, **further}) if body["kind"].endswith("Monitor")]
    endpoints = [body["spec"].get("endpoints") or body["spec"]["podMetricsEndpoints"] for body in monitors]
    assert len(endpoints) == 3
    for (endpoint,) in endpoints:
        assert further.items() <= endpoint.items()


def test_aws_parameters_become_secrets_without_their_path() -> None:
    external = {"path": "/ao/prod", "worker": ["WEATHER_KEY"], "storeName": "aws"}
    objects = render("team", values={"secrets": {"mode": "externalSecret", "externalSecret": external}})
    found = {body["spec"]["target"]["name"]: body["spec"] for body in objects if body["kind"] == "ExternalSecret"}
    assert {name.removeprefix(f"{NAME}-") for name in found} == {"aws-stores", "aws-vendor", "aws-worker"}
    (source,) = found[f"{NAME}-aws-stores"]["dataFrom"]
    assert re.fullmatch(source["find"]["name"]["regexp"], "/ao/prod/MONGO_URI")
    assert not re.fullmatch(source["find"]["name"]["regexp"], "/ao/prod/OPENAI_API_KEY")
    ((rewrite,),) = [rule.values() for rule in source["rewrite"]]
    assert re.sub(rewrite["source"], rewrite["target"].replace("$", "\\"), "/ao/prod/MONGO_URI") == "MONGO_URI"
    assert {spec["secretStoreRef"]["name"] for spec in found.values()} == {"aws"}
    assert not [body for body in objects if body["kind"] == "SecretStore"]


def test_entries_of_any_store_become_secrets() -> None:
    values = yaml.safe_load((CHART / "ci" / "secret-store-values.yaml").read_text())
    objects = render("team", values=values)
    found = {body["spec"]["target"]["name"]: body["spec"] for body in objects if body["kind"] == "ExternalSecret"}
    entries = {
        name.removeprefix(f"{NAME}-"): {entry["secretKey"]: entry["remoteRef"] for entry in spec["data"]}
        for name, spec in found.items()
    }
    references = values["secrets"]["externalSecret"]["references"]
    assert entries == {
        "aws-stores": {name: references[name] for name in ("MONGO_URI", "REDIS_URL")},
        "aws-vendor": {"OPENAI_API_KEY": references["OPENAI_API_KEY"]},
        "aws-keys": {"service-key": references["SERVICE_KEY"]},
    }
    stores = [spec["secretStoreRef"] for spec in found.values()]
    assert stores == [{"kind": "ClusterSecretStore", "name": "vault"}] * 3


def test_a_secret_that_helm_does_not_create_has_another_name() -> None:
    secrets = {"mode": "externalSecret", "externalSecret": {"path": "/ao/prod"}}
    external = render("team", values={"secrets": secrets})
    inline = rendered(secrets={"inline": {"providers": {"OPENAI_API_KEY": "k"}}})
    made = [{body["metadata"]["name"] for body in inline if body["kind"] == "Secret"}]
    made += [{body["metadata"]["name"] for body in external if body["kind"] == "ExternalSecret"}]
    assert made[0] & made[1] == set()
    labels = [body["spec"]["target"]["template"]["metadata"] for body in external if body["kind"] == "ExternalSecret"]
    assert not any("Helm" in str(metadata) for metadata in labels)


def test_workers_start_without_keys_that_are_no_parameters() -> None:
    objects = render("team", values={"secrets": {"mode": "externalSecret", "externalSecret": {"path": "/ao/prod"}}})
    (volume,) = [found for found in pod_of(objects, "worker")["spec"]["volumes"] if "secret" in found]
    assert volume["secret"]["optional"] is True


def test_extra_objects_are_templates() -> None:
    further = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-own"}}
    names = [body["metadata"]["name"] for body in rendered(extraObjects=[further])]
    assert "ao-own" in names


def test_replicas_are_set_only_if_nothing_scales() -> None:
    def named(mode: str) -> bool:
        objects = rendered(worker={"autoscaling": {"mode": mode}})
        (worker,) = [
            body for body in objects if body["kind"] == "Deployment" and body["metadata"]["name"].endswith("-worker")
        ]
        return "replicas" in worker["spec"]

    assert {mode: named(mode) for mode in ("operator", "keda", "hpa", "none")} == {
        "operator": False,
        "keda": False,
        "hpa": False,
        "none": True,
    }


def test_each_served_namespace_has_a_role() -> None:
    objects = rendered(operator={"namespaces": ["one", "two", "one"]})
    roles = [(body["kind"], body["metadata"].get("namespace")) for body in objects if body["kind"].startswith("Role")]
    assert roles.count(("Role", "one")) == roles.count(("RoleBinding", "two")) == 1
    (account,) = [body for body in objects if body["metadata"]["name"] == f"{NAME}-operator" if is_account(body)]
    bindings = [body for body in objects if body["kind"] == "RoleBinding"]
    assert {body["subjects"][0]["namespace"] for body in bindings} == {"team"}
    assert {body["subjects"][0]["name"] for body in bindings} == {account["metadata"]["name"]}


def test_without_a_cluster_an_upgrade_has_the_roles_of_all_namespaces() -> None:
    """Helm finds no namespace then, and must not take them all for gone."""
    values = over(over(STORES, KEY), {"operator": {"namespaces": ["one", "two"]}})
    text = helm("template", RELEASE, str(CHART), "--namespace", "team", "--is-upgrade", values=values)
    roles = [body for body in yaml.safe_load_all(text) if body and body["kind"] == "Role"]
    assert {body["metadata"].get("namespace") for body in roles} >= {"one", "two"}


def test_an_operator_of_all_namespaces_has_its_rights_in_the_cluster() -> None:
    objects = rendered(operator={"allNamespaces": True})
    (role,) = [body for body in objects if body["kind"] == "ClusterRole" and is_of_the_operator(body)]
    (binding,) = [body for body in objects if body["kind"] == "ClusterRoleBinding"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert role["rules"] == yaml.safe_load((CHART / "files" / "operator-rules.yaml").read_text())
    roles = [body["metadata"]["name"] for body in objects if body["kind"] == "Role"]
    assert sorted(roles) == [f"{NAME}-autoscaler", f"{NAME}-uninstall"]
    assert environment(objects, "operator")["AGENT_OPERATOR_NAMESPACES"] == ""


def test_releases_that_serve_one_namespace_have_separate_roles_there() -> None:
    names: list[set[tuple[str, str]]] = []
    for namespace in ("team", "other", "shared"):
        objects = render(namespace, values=over(STORES, {"operator": {"namespaces": ["shared"]}}))
        there = [body for body in objects if body["metadata"].get("namespace") == "shared"]
        names.append({(body["kind"], body["metadata"]["name"]) for body in there})
    assert [len(found) for found in names] == [2, 2, 2]
    assert len(set().union(*names)) == 6


def test_an_operator_whose_node_is_lost_is_replaced_soon() -> None:
    tolerated = pod_of(rendered(), "operator")["spec"]["tolerations"]
    seconds = {found["key"].rpartition("/")[2]: found["tolerationSeconds"] for found in tolerated}
    assert seconds == {"unreachable": 30, "not-ready": 30}
    own = [{"key": "agents", "operator": "Exists"}]
    assert pod_of(rendered(operator={"tolerations": own}), "operator")["spec"]["tolerations"] == own


def test_a_disabled_operator_leaves_no_object() -> None:
    objects = rendered(operator={"enabled": False}, worker={"autoscaling": {"mode": "none"}})
    kinds = {body["kind"] for body in objects}
    assert not any(kind.startswith(("Role", "ClusterRole", "Validating", "Job")) for kind in kinds)
    assert not [body for body in objects if body["metadata"]["name"].endswith(("-operator", "-uninstall"))]


def test_names_are_short_enough_and_unique_for_each_release() -> None:
    names: list[set[tuple[str, str]]] = []
    for namespace, release in (("team", "a-b"), ("team-a", "b"), ("team", "x" * 52 + "1"), ("team", "x" * 52 + "2")):
        objects = [body for body in render(namespace, release=release) if body["kind"] != "CustomResourceDefinition"]
        in_namespaces = [body["metadata"]["name"] for body in objects if not is_of_the_cluster(body)]
        assert max(map(len, in_namespaces)) <= 63
        names.append({(body["kind"], body["metadata"]["name"]) for body in objects if is_of_the_cluster(body)})
    assert len(set().union(*names)) == sum(len(found) for found in names)


def is_account(body: dict[str, Any]) -> bool:
    return bool(body["kind"] == "ServiceAccount")


def is_of_the_operator(body: dict[str, Any]) -> bool:
    return str(body["metadata"]["name"]).endswith("-operator")


def is_of_the_cluster(body: dict[str, Any]) -> bool:
    return str(body["kind"]).startswith(("Cluster", "Validating"))


def test_api_and_operator_read_the_service_key_from_the_same_file() -> None:
    objects = rendered()
    files = [
        environment(objects, component)[name]
        for component, name in (
            ("api", "AGENT_BOOTSTRAP_SERVICE_KEY_FILE"),
            ("operator", "AGENT_OPERATOR_API_KEY_FILE"),
        )
    ]
    assert files == ["/keys/service-key"] * 2
    for component in ("api", "operator"):
        (container,) = pod_of(objects, component)["spec"]["containers"]
        assert {"name": "keys", "mountPath": "/keys", "readOnly": True} in container["volumeMounts"]
        assert mounted_secrets(objects, component) == ["orchestrator-service-key"]
        assert not any("SERVICE_KEY" in name and "FILE" not in name for name in environment(objects, component))


def test_a_parameter_becomes_the_secret_with_the_service_key() -> None:
    external = {"secrets": {"mode": "externalSecret", "externalSecret": {"path": "/ao/prod"}}}
    objects = render("team", values={**external, "serviceKey": {"parameter": "SERVICE_KEY"}})
    secrets = {body["spec"]["target"]["name"]: body["spec"] for body in objects if body["kind"] == "ExternalSecret"}
    name = f"{NAME}-aws-keys"
    entry = {"secretKey": "service-key", "remoteRef": {"key": "/ao/prod/SERVICE_KEY"}}
    assert secrets[name]["data"] == [entry]
    assert mounted_secrets(objects, "api") == mounted_secrets(objects, "operator") == [name]
    assert not [body for body in objects if body["kind"] == "Secret"]
    without = render("team", values=external)
    assert name not in {body["metadata"]["name"] for body in without}


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem.removesuffix("-values"))
def test_two_renderings_without_a_cluster_are_the_same(values: Path) -> None:
    """Argo CD renders like this all the time, and would apply each difference."""
    first, second = [render("team", values=yaml.safe_load(values.read_text())) for _ in range(2)]
    assert first == second


def test_a_job_releases_the_agent_tasks_before_an_uninstall() -> None:
    objects = rendered(operator={"namespaces": ["one", "two"]})
    annotated = [body for body in objects if "helm.sh/hook" in body["metadata"].get("annotations", {})]
    hooks = {
        body["kind"]: body for body in annotated if body["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    }
    assert set(hooks) == {"Role", "RoleBinding", "Job"}
    assert hooks["Role"]["rules"][0]["resourceNames"] == [f"{NAME}-operator"]
    job = hooks["Job"]["spec"]
    pod = job["template"]["spec"]
    assert pod["serviceAccountName"] == hooks["RoleBinding"]["subjects"][0]["name"] == f"{NAME}-operator"
    (container,) = pod["containers"]
    assert container["command"] == ["python", "-m", "agent_operator.uninstall", f"team/{NAME}-operator"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    identity = environment(objects, "operator")["AGENT_OPERATOR_IDENTITY"]
    assert variables == {"AGENT_OPERATOR_NAMESPACES": "one,two", "AGENT_OPERATOR_IDENTITY": identity}
    assert container["image"] == pod_of(objects, "operator")["spec"]["containers"][0]["image"]
    assert job["activeDeadlineSeconds"] < 300, "Helm gives up after five minutes"


def test_without_a_finalizer_nothing_has_to_be_released() -> None:
    objects = rendered(operator={"finalizer": False})
    assert environment(objects, "operator")["AGENT_OPERATOR_FINALIZER"] == "false"
    assert not [body for body in objects if body["metadata"]["name"].endswith("-uninstall")]
    assert environment(rendered(), "operator")["AGENT_OPERATOR_FINALIZER"] == "true"


@pytest.mark.parametrize("component", COMPONENTS)
def test_additions_of_the_values_reach_deployment_pod_and_container(component: str) -> None:
    further = {"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "site", "key": "region"}}}
    own: dict[str, Any] = {
        "extraEnv": [further],
        "extraEnvFrom": [{"configMapRef": {"name": "proxy"}}],
        "extraVolumes": [{"name": "own", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "own", "mountPath": "/own"}],
        "extraContainers": [{"name": "sidecar", "image": "sidecar:1"}],
        "initContainers": [{"name": "first", "image": "first:1"}],
        "containerSpec": {"startupProbe": {"httpGet": {"path": "/health", "port": 1}, "failureThreshold": 600}},
        "podSpec": {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}},
        "deploymentSpec": {"revisionHistoryLimit": 2},
        "annotations": {"reloader.stakater.com/auto": "true"},
    }
    before, after = deployment_of(rendered(), component), deployment_of(rendered(**{component: own}), component)
    (plain,) = before["spec"]["template"]["spec"]["containers"]
    pod = after["spec"]["template"]["spec"]
    container, sidecar = pod["containers"]

    assert container["env"] == [*plain["env"], further]
    assert container["envFrom"] == [*plain["envFrom"], *own["extraEnvFrom"]]
    assert container["volumeMounts"] == [*plain["volumeMounts"], *own["extraVolumeMounts"]]
    assert container["startupProbe"] == own["containerSpec"]["startupProbe"]
    assert container["livenessProbe"] == plain["livenessProbe"]
    assert pod["volumes"] == [*before["spec"]["template"]["spec"]["volumes"], *own["extraVolumes"]]
    assert ([sidecar], pod["initContainers"]) == (own["extraContainers"], own["initContainers"])
    assert pod["dnsConfig"] == own["podSpec"]["dnsConfig"]
    assert after["spec"]["revisionHistoryLimit"] == 2
    assert after["metadata"]["annotations"] == own["annotations"]
    assert after["spec"]["selector"] == before["spec"]["selector"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_has_an_account_or_uses_an_existing_one(component: str) -> None:
    def accounts(objects: Objects) -> dict[str, Any]:
        return {body["metadata"]["name"]: body["metadata"].get("annotations") for body in objects if is_account(body)}

    identity = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/agents"}
    with_identity = rendered(**{component: {"serviceAccount": {"annotations": identity}}})
    name = f"{NAME}-{component}"
    assert accounts(with_identity)[name] == identity
    assert pod_of(with_identity, component)["spec"]["serviceAccountName"] == name

    existing = rendered(**{component: {"serviceAccount": {"create": False, "name": "mine"}}})
    assert name not in accounts(existing)
    assert pod_of(existing, component)["spec"]["serviceAccountName"] == "mine"


def test_the_operators_rights_are_those_of_its_account() -> None:
    objects = rendered(operator={"serviceAccount": {"create": False, "name": "mine"}})
    subjects = [subject for body in objects if body["kind"] == "RoleBinding" for subject in body["subjects"]]
    assert {subject["name"] for subject in subjects} == {"mine"}
    (policy,) = [body for body in objects if body["kind"] == "ValidatingAdmissionPolicy"]
    assert "system:serviceaccount:team:mine" in policy["spec"]["matchConditions"][0]["expression"]


def test_an_admin_of_one_namespace_can_install_everything_but_the_crd() -> None:
    rbac = {"aggregate": False, "admissionPolicy": False}
    objects = rendered(rbac=rbac, crds={"install": False})
    assert not [body["kind"] for body in objects if is_of_the_cluster(body)]
    assert "AGENT_OPERATOR_WORKER_DEPLOYMENT" in environment(objects, "operator")


def test_rights_may_come_from_elsewhere() -> None:
    kinds = [body["kind"] for body in rendered(rbac={"create": False})]
    assert not {"Role", "RoleBinding"} & set(kinds)
    assert "Job" in kinds


def test_a_service_may_be_restricted_to_some_sources() -> None:
    spec = {"loadBalancerClass": "internal", "loadBalancerSourceRanges": ["10.0.0.0/8"]}
    service = {"type": "LoadBalancer", "nodePort": 30_080, "labels": {"team": "a"}, "spec": spec}
    objects = rendered(api={"service": service})
    (found,) = [body for body in objects if body["kind"] == "Service"]
    assert spec.items() <= found["spec"].items()
    assert found["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30_080}]
    assert found["metadata"]["labels"]["team"] == "a"


def test_common_labels_are_on_all_objects_and_in_no_selector() -> None:
    plain, labelled = rendered(), rendered(commonLabels={"team": "a"})
    own = [body for body in labelled if body["kind"] != "CustomResourceDefinition"]
    assert {body["metadata"]["labels"].get("team") for body in own} == {"a"}
    for component in COMPONENTS:
        before, after = (deployment_of(objects, component)["spec"]["selector"] for objects in (plain, labelled))
        assert before == after


def test_a_full_name_replaces_that_of_the_release() -> None:
    objects = rendered(fullnameOverride="agents")
    names = {body["metadata"]["name"] for body in objects if body["kind"] in ("Deployment", "Service", "ConfigMap")}
    assert names == {"agents-api", "agents-worker", "agents-operator", "agents-settings"}
    assert environment(objects, "operator")["AGENT_OPERATOR_API_URL"] == "http://agents-api"
