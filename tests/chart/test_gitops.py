"""The examples of docs/gitops.md: the chart accepts their values, and the page creates what they name."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.chart.rendering import CHART, helm, over

PAGE = (CHART.parents[1] / "docs" / "gitops.md").read_text()
Objects = list[dict[str, Any]]


def example(kind: str) -> dict[str, Any]:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    (found,) = [body for body in blocks if body.get("kind") == kind]
    spec: dict[str, Any] = found["spec"]
    return spec


def rendered(release: str, namespace: str, values: dict[str, Any]) -> Objects:
    text = helm("template", release, str(CHART), "--namespace", namespace, values=values)
    return [body for body in yaml.safe_load_all(text) if body]


def check(objects: Objects) -> None:
    """Checks that the page says where the images come from, and creates each Secret."""
    pods = [body["spec"]["template"]["spec"] for body in objects if body["kind"] == "Deployment"]
    assert len(pods) == 3
    images = {container["image"] for pod in pods for container in pod["containers"]}
    parts = ("api", "worker", "operator")
    assert images == {f"registry.example.com/agent-orchestrator-{part}:0.1.0" for part in parts}
    made = set(re.findall(r"create secret generic (\S+) -n agents", PAGE))
    mounted = {volume["secret"]["secretName"] for pod in pods for volume in pod["volumes"] if "secret" in volume}
    assert mounted <= made
    assert "stores" in made


def test_the_application_of_argo_cd_renders_without_a_cluster() -> None:
    spec = example("Application")
    source = spec["source"]
    assert CHART.as_posix().endswith(source["path"])
    check(rendered(source["helm"]["releaseName"], spec["destination"]["namespace"], source["helm"]["valuesObject"]))


def test_the_helm_release_of_flux_renders() -> None:
    """Helm sees the cluster there and makes the service key; here it needs a source."""
    spec = example("HelmRelease")
    assert CHART.as_posix().endswith(spec["chart"]["spec"]["chart"].removeprefix("./"))
    key = {"serviceKey": {"existingSecret": "service-key"}}
    check(rendered(spec["releaseName"], "agents", over(spec["values"], key)))
