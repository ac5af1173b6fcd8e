"""Values that cannot work are refused before anything is installed, and the message names the value."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from app.settings.catalogue import CHART_OWN, CONNECTIONS, PROVIDER_KEYS
from tests.chart.rendering import CHART, RELEASE, STORES, helm, over

EXTERNAL = {"secrets": {"mode": "externalSecret", "externalSecret": {"path": "/ao/prod"}}}
EXISTING = {"secrets": {"mode": "existing", "existing": {"stores": "s"}}}


def refusal(values: dict[str, Any], release: str = RELEASE) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        helm("template", release, str(CHART), values=values)
    return str(refused.value.stderr)


@pytest.mark.parametrize(
    ("base", "further", "message"),
    [
        ({}, {}, "secrets.inline.stores.MONGO_URI: name a MongoDB"),
        (
            {},
            {"secrets": {"inline": {"stores": {"MONGO_URI": "mongodb://m/"}}}},
            "secrets.inline.stores.REDIS_URL: name a Redis",
        ),
        (STORES, {"secrets": {"existing": {"stores": "s"}}}, "secrets.existing.stores: secrets.mode is inline"),
        (
            EXISTING,
            {"secrets": {"inline": {"stores": {"REDIS_URL": "redis://r/"}}}},
            "secrets.inline.stores: secrets.mode is existing",
        ),
        (
            EXTERNAL,
            {"secrets": {"inline": {"providers": {"OPENAI_API_KEY": "k"}}}},
            "secrets.inline.providers: secrets.mode is externalSecret",
        ),
        ({}, {"secrets": {"mode": "existing"}}, "secrets.existing.stores: name the Secret"),
        (
            EXTERNAL,
            {"secrets": {"externalSecret": {"references": {"MONGO_URI": {"key": "k"}}}}},
            "secrets.externalSecret.references: remove them, or secrets.externalSecret.path",
        ),
        (
            EXTERNAL,
            {"secrets": {"externalSecret": {"storeKind": "ClusterSecretStore"}}},
            "secrets.externalSecret.storeName: name the store",
        ),
        (
            {"secrets": {"mode": "externalSecret"}},
            {"secrets": {"externalSecret": {"storeName": "s", "references": {"MONGO_URI": {"key": "k"}}}}},
            "secrets.externalSecret.references.REDIS_URL: name its entry in the store",
        ),
        ({}, {"secrets": {"mode": "externalSecret"}}, "secrets.externalSecret.path: name the path of the parameters"),
        (
            STORES,
            {"operator": {"enabled": False}},
            "worker.autoscaling.mode: the mode operator requires operator.enabled",
        ),
        (
            STORES,
            {"worker": {"autoscaling": {"mode": "keda", "keda": {"minReplicas": 5, "maxReplicas": 4}}}},
            "worker.autoscaling.keda.minReplicas: must not be greater than maxReplicas",
        ),
        (
            STORES,
            {"api": {"autoscaling": {"enabled": True, "minReplicas": 7}}},
            "api.autoscaling.minReplicas: must not be greater than maxReplicas",
        ),
        (
            STORES,
            {"api": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}},
            "api.resources.requests.cpu: set it; api.autoscaling measures CPU use",
        ),
        (
            STORES,
            {"api": {"autoscaling": {"enabled": True}}},
            "api.resources.requests.cpu: 100m is too little for api.autoscaling",
        ),
        (
            STORES,
            {"api": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": 0.2}}}},
            "api.resources.requests.cpu: 0.2 is too little for api.autoscaling",
        ),
        (
            STORES,
            {"worker": {"autoscaling": {"policy": {"min_replicas": 5, "max_replicas": 2}}}},
            "worker.autoscaling.policy.min_replicas: 5 must not be greater than max_replicas, which is 2",
        ),
        (
            STORES,
            {"worker": {"autoscaling": {"policy": {"min_replicas": 11}}}},
            "worker.autoscaling.policy.min_replicas: 11 must not be greater than max_replicas, which is 10",
        ),
        (
            STORES,
            {"worker": {"autoscaling": {"policy": {"min_replicas": 11, "max_replicas": None}}}},
            "worker.autoscaling.policy.min_replicas: 11 must not be greater than max_replicas, which is 10",
        ),
        (STORES, {}, "serviceKey.existingSecret: name a Secret of default whose entry service-key holds 32 characters"),
        (EXTERNAL, {}, "holds 32 characters or more, or its parameter in serviceKey.parameter. Helm renders without"),
        (
            STORES,
            {"serviceKey": {"parameter": "SERVICE_KEY"}},
            "serviceKey.parameter: secrets.mode is inline; set it to externalSecret",
        ),
        (
            EXTERNAL,
            {"serviceKey": {"parameter": "SERVICE_KEY", "existingSecret": "key"}},
            "serviceKey.parameter: remove it, or serviceKey.existingSecret",
        ),
        (
            STORES,
            {"secrets": {"externalSecret": {"path": "/ao/prod"}}},
            "secrets.externalSecret.path: secrets.mode is inline",
        ),
        (
            STORES,
            {"operator": {"redisKeys": {"REDIS_URL": "READ_ONLY"}}},
            "operator.redisKeys.REDIS_URL: a key other than REDIS_URL requires secrets.mode existing",
        ),
        (
            STORES,
            {"worker": {"autoscaling": {"mode": "hpa"}, "resources": {"requests": {"cpu": None}}}},
            "worker.resources.requests.cpu: set it; worker.autoscaling.mode hpa measures CPU use",
        ),
        (STORES, {"operator": {"allNamespaces": True, "namespaces": ["a"]}}, "operator.namespaces: remove them, or"),
        (STORES, {"ingress": {"enabled": True}}, "ingress.hosts: name the hosts"),
        (
            STORES,
            {"ingress": {"enabled": True, "hosts": ["a.example"], "tlsSecret": "t", "tls": [{"secretName": "u"}]}},
            "ingress.tls: remove it, or ingress.tlsSecret",
        ),
        (STORES, {"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the Gateway"),
        (STORES, {"dev": {"valkey": {"enabled": True}}}, "dev.valkey.image: name the image"),
        (
            STORES,
            {"env": {"MONGO_URI": "mongodb://m/"}},
            "env.MONGO_URI: remove it; its value comes from secrets.*.stores",
        ),
        (
            STORES,
            {"env": {"OPENAI_API_KEY": "k"}},
            "env.OPENAI_API_KEY: remove it; its value comes from secrets.*.providers",
        ),
        (
            STORES,
            {"worker": {"env": {"TAVILY_API_KEY_FILE": "/k"}}},
            "worker.env.TAVILY_API_KEY_FILE: remove it; its value comes from secrets.*.providers",
        ),
        (
            STORES,
            {"api": {"env": {"AGENT_API_PORT": "1"}}},
            "api.env.AGENT_API_PORT: remove it; its value comes from the image",
        ),
        (
            STORES,
            {"worker": {"env": {"AGENT_WORKER_GRACE_SECONDS": 5}}},
            "worker.env.AGENT_WORKER_GRACE_SECONDS: remove it; its value comes from tasks.deadlineSeconds",
        ),
        (
            STORES,
            {"worker": {"extraEnv": [{"name": "AGENT_WORKER_NAME", "value": "w"}]}},
            "worker.extraEnv.AGENT_WORKER_NAME: remove it; its value comes from the pod's name",
        ),
        (
            STORES,
            {"api": {"env": {"REGION": "a"}, "extraEnv": [{"name": "REGION", "value": "b"}]}},
            "api.extraEnv: REGION is set twice",
        ),
        (
            {**STORES, "serviceKey": {"existingSecret": "key"}},
            {"operator": {"serviceAccount": {"create": False}}},
            "operator.serviceAccount.name: name an account",
        ),
        (
            STORES,
            {"secrets": {"inline": {"worker": {"MONGO_URI": "mongodb://m/"}}}},
            "secrets.inline.worker.MONGO_URI: remove it; its value comes from secrets.*.stores",
        ),
    ],
)
def test_values_that_cannot_work_are_refused(base: dict[str, Any], further: dict[str, Any], message: str) -> None:
    assert message in refusal(over(base, further))


@pytest.mark.parametrize("name", sorted(CHART_OWN | CONNECTIONS | PROVIDER_KEYS))
def test_a_variable_that_the_chart_sets_is_refused(name: str) -> None:
    assert f"env.{name}: remove it; its value comes from " in refusal(over(STORES, {"env": {name: "1"}}))


@pytest.mark.parametrize("release", ["a.b", "1ao"])
def test_a_release_name_that_is_no_valid_service_name_is_refused(release: str) -> None:
    assert f"release name: {release} must begin with a letter" in refusal(STORES, release)
