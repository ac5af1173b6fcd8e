"""Values that cannot work are refused before anything is installed, and the message names the value."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.chart.rendering import CHART, RELEASE, STORES, helm


def refusal(values: dict[str, Any], release: str = RELEASE) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        helm("template", release, str(CHART), values=values)
    return str(refused.value.stderr)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "stores.mongoUri: name a MongoDB"),
        ({"stores": {"mongoUri": "mongodb://m/"}}, "stores.redisUrl: name a Redis"),
        ({"stores": {"existingSecret": "s", "redisUrl": "redis://r/"}}, "stores.redisUrl: stores.existingSecret says"),
        ({**STORES, "worker": {"autoscaling": {"mode": "hpa"}}}, "worker.autoscaling.mode: hpa is neither"),
        ({**STORES, "operator": {"enabled": False}}, "worker.autoscaling.mode: operator needs operator.enabled"),
        ({**STORES, "operator": {"namespaces": "one,two"}}, "operator.namespaces: give a list"),
        ({**STORES, "dev": {"valkey": {"enabled": True}}}, "dev.valkey.image: name the image"),
        ({**STORES, "env": {"MONGO_URI": "mongodb://m/"}}, "env.MONGO_URI: it comes from stores.mongoUri"),
        ({**STORES, "api": {"env": {"AGENT_API_PORT": "1"}}}, "api.env.AGENT_API_PORT: it comes from the image"),
        (
            {**STORES, "worker": {"env": {"AGENT_WORKER_GRACE_SECONDS": 5}}},
            "worker.env.AGENT_WORKER_GRACE_SECONDS: it comes from tasks.deadlineSeconds",
        ),
    ],
)
def test_values_that_cannot_work_are_refused(values: dict[str, Any], message: str) -> None:
    assert message in refusal(values)


@pytest.mark.parametrize("release", ["a.b", "1ao"])
def test_a_release_name_that_makes_no_name_of_a_service_is_refused(release: str) -> None:
    assert f"release name: {release} has to begin with a letter" in refusal(STORES, release)
