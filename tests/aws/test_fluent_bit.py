"""The server's configuration of Fluent Bit: its sources and targets. `make check-logs` runs Fluent Bit with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.aws.fluent_bit import CONFIGURATION, pod_log
from tests.aws.template import of_type
from tests.chart.rendering import render
from tests.support.toolchain import built_or_skipped

COMPONENTS = ("api", "worker", "operator")
SERVICE = CONFIGURATION.with_name("service.conf")


def pipeline() -> Any:
    return yaml.safe_load(CONFIGURATION.read_text())["pipeline"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_lines_of_a_component_go_to_its_group(component: str) -> None:
    log = pod_log(Path("/var/log/containers"), component)
    (source,) = pipeline()["inputs"]
    assert any(log.match(path.rpartition("/")[2]) for path in source["path"].split(","))
    found = re.search(source["tag_regex"].replace("(?<", "(?P<"), str(log))
    assert found is not None
    tag = source["tag"].replace("<pod>", found["pod"]).replace("<component>", found["component"])
    (target,) = [found for found in pipeline()["outputs"] if tag.startswith(found["match"].removesuffix("*"))]
    assert target["log_group_name"] == f"/agent-orchestrator/{component}"
    groups = {found["LogGroupName"] for found in of_type("AWS::Logs::LogGroup").values()}
    assert target["log_group_name"] in groups
    assert target["retry_limit"] == "no_limits", "an outage of CloudWatch drops no line"


def test_log_files_have_the_names_of_the_charts_pods_and_containers() -> None:
    built_or_skipped("helm")
    deployments = {
        body["metadata"]["labels"]["app.kubernetes.io/component"]: body
        for body in render("ao")
        if body["kind"] == "Deployment"
    }
    for component in COMPONENTS:
        (container,) = deployments[component]["spec"]["template"]["spec"]["containers"]
        name = deployments[component]["metadata"]["name"]
        assert pod_log(Path(), component).name.startswith(f"{name}-")
        assert f"_agent-orchestrator_{container['name']}-" in pod_log(Path(), component).name


def test_every_variable_of_the_configuration_is_set() -> None:
    asked = set(re.findall(r"\$\{(\w+)\}", CONFIGURATION.read_text()))
    assert asked == {"AWS_REGION", "AGENT_LOG_SOURCE", "AGENT_LOG_STATE"}
    service = SERVICE.read_text()
    assert "EnvironmentFile=/etc/agent-orchestrator/environment" in service, "this file sets AWS_REGION"
    assert {"AGENT_LOG_SOURCE", "AGENT_LOG_STATE"} <= set(re.findall(r"(\w+)=/", service))
    assert "--config=/etc/fluent-bit/agent-orchestrator.yaml" in service
