"""Parts of the last released chart that must not change, because Kubernetes or Helm would refuse the upgrade."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendering import NAME, RELEASED, STORES, render

OLD_STORES = {"stores": {"mongoUri": "mongodb://mongodb/", "redisUrl": "redis://valkey/"}}
STABLE = ("Deployment", "Service", "ServiceAccount", "Secret", "CustomResourceDefinition")
Objects = dict[tuple[str, str], dict[str, Any]]


def by_name(objects: list[dict[str, Any]]) -> Objects:
    return {(body["kind"], body["metadata"]["name"]): body for body in objects}


@pytest.fixture(scope="module")
def released() -> Objects:
    return by_name(render("team", values=OLD_STORES, chart=RELEASED))


@pytest.fixture(scope="module")
def current() -> Objects:
    return by_name(render("team", values=STORES))


def test_objects_that_hold_state_or_are_called_keep_their_names(released: Objects, current: Objects) -> None:
    # The Secret with the service key is rendered only if Helm sees a cluster; tests/cluster upgrades one.
    lost = {found for found in released if found[0] in STABLE} - set(current)
    assert lost == {("Secret", f"{NAME}-keys")}


def test_selectors_of_deployments_stay(released: Objects, current: Objects) -> None:
    deployments = [found for found in released if found[0] == "Deployment"]
    assert len(deployments) == 3
    for found in deployments:
        assert released[found]["spec"]["selector"] == current[found]["spec"]["selector"]


def test_roles_that_bindings_name_stay(released: Objects, current: Objects) -> None:
    for found, body in released.items():
        if found[0] == "RoleBinding":
            assert current[found]["roleRef"] == body["roleRef"]


def test_development_servers_are_not_replaced_because_data_goes_with_their_pods() -> None:
    parts = ("mongodb", "valkey", "simulator")
    values = {"dev": {part: {"enabled": True, "image": "server"} for part in parts}}
    before, now = by_name(render("team", values=values, chart=RELEASED)), by_name(render("team", values=values))
    for part in parts:
        found = ("Deployment", f"{NAME}-{part}")
        assert before[found]["spec"]["template"] == now[found]["spec"]["template"]
