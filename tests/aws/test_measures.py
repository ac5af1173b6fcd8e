"""The sources of alarms and dashboard: log lines of the processes, and their metrics."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_operator.autoscaler.loop import Autoscaler
from app.telemetry.metrics import ApiMetrics, OperatorMetrics, ProcessMetrics, WorkerMetrics
from tests.aws.metric_filters import matches
from tests.aws.template import of_type
from tests.support.stack import Stack, running_stack
from tests.support.waiting import wait_for

AGENT = Path(__file__).parents[2] / "k8s" / "k3s" / "cloudwatch-agent"
PROCESSES: tuple[ProcessMetrics, ...] = (
    ApiMetrics(version="test"),
    WorkerMetrics(version="test"),
    OperatorMetrics(version="test"),
)
NAMESPACE = "AgentOrchestrator"
SERVER = {"Ref": "Server"}


@pytest.fixture(scope="module")
def lines() -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Returns log lines of API and worker about a completed task, a failed task, and a task with a long poll."""
    with running_stack() as stack:
        stack.wait(stack.submit("Write a Python function that reverses a list.")["task_id"])
        stack.wait(stack.submit("Bake me a cake and bring it to my house.")["task_id"])
        stack.submit("Write a Python function that adds two numbers.", headers={"Prefer": "wait=20"})
        wait_for(lambda: len(requests_that_wait(stack)) == 1, what="the log line of the long poll")
        yield {name: stack.parts[name].log_lines() for name in ("api", "worker")}


def requests_that_wait(stack: Stack) -> list[dict[str, Any]]:
    return [line for line in stack.parts["api"].log_lines() if line.get("waits")]


def filters() -> dict[str, tuple[str, str, str]]:
    """Returns for each metric the resource of its log group, its pattern and its value."""
    return {
        made["MetricName"]: (found["LogGroupName"]["Ref"], found["FilterPattern"], made["MetricValue"])
        for found in of_type("AWS::Logs::MetricFilter").values()
        for made in found["MetricTransformations"]
    }


def values(name: str, lines: dict[str, list[dict[str, Any]]]) -> list[float]:
    """Returns the values that a metric filter extracts from the lines."""
    group, pattern, value = filters()[name]
    written = lines[{"ApiLogs": "api", "WorkerLogs": "worker"}[group]]
    found = [line for line in written if matches(pattern, line)]
    return [float(line[value.removeprefix("$.")] if value.startswith("$.") else value) for line in found]


def test_log_lines_of_workers_count_and_time_tasks(lines: dict[str, list[dict[str, Any]]]) -> None:
    assert len(values("TaskDuration", lines)) == 3
    assert all(milliseconds > 0 for milliseconds in values("TaskDuration", lines))
    assert values("TaskFailures", lines) == [1.0]


def test_all_requests_are_counted_and_long_polls_are_not_timed(lines: dict[str, list[dict[str, Any]]]) -> None:
    asked = values("Requests", lines)
    assert len(asked) > 3
    assert len(values("RequestDuration", lines)) == len(asked) - 1
    assert values("RequestErrors", lines) == []
    broken = {"api": [{"message": "http_request", "status_code": 503}], "worker": []}
    assert values("RequestErrors", broken) == [1.0]


def test_every_metric_of_alarms_and_dashboard_has_its_source() -> None:
    made = {
        **{name: frozenset[str]() for name in filters()},
        **dict(declarations()),
        **dict.fromkeys(of_the_host(), frozenset({"InstanceId"})),
    }
    shown = [*of_alarms(), *of_dashboard()]
    for name, dimensions in shown:
        assert frozenset(dimensions) == made.get(name), f"no source has the metric {name} with {sorted(dimensions)}"
        assert dimensions.get("job", job()["job_name"]) == job()["job_name"]
        assert dimensions.get("InstanceId", SERVER) in (SERVER, "${Server}")
        assert dimensions.get("state", "asked") in workers_by_state()
    assert {name for name, _ in shown} == made.keys(), "a metric that is not shown would cost money"


def of_alarms() -> Iterator[tuple[str, dict[str, Any]]]:
    for alarm in of_type("AWS::CloudWatch::Alarm").values():
        stated = [alarm, *(part["MetricStat"]["Metric"] for part in alarm.get("Metrics", []) if "MetricStat" in part)]
        for found in stated:
            if found.get("Namespace") == NAMESPACE:
                yield found["MetricName"], {part["Name"]: part["Value"] for part in found.get("Dimensions", [])}


def of_dashboard() -> Iterator[tuple[str, dict[str, Any]]]:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]
    titles = [widget["properties"]["title"] for widget in widgets]
    places = [(widget["x"], widget["y"]) for widget in widgets]
    assert len(set(titles)) == len(set(places)) == len(widgets)
    for widget in widgets:
        for first, *rest in widget["properties"]["metrics"]:
            if isinstance(first, dict):
                (found,) = re.findall(r"SEARCH\('\{(\w+),([\w,]+)\} MetricName=\"(\w+)\"'", first["expression"])
                assert found[0] == NAMESPACE
                yield found[2], dict.fromkeys(found[1].split(","), job()["job_name"])
            elif first == NAMESPACE:
                name, *pairs = [part for part in rest if isinstance(part, str)]
                yield name, dict(zip(pairs[::2], pairs[1::2], strict=True))


def of_the_host() -> Iterator[str]:
    """Yields the metrics that the agent measures itself, with the server as the only dimension."""
    host = json.loads((AGENT / "agent-orchestrator.json").read_text())["metrics"]
    assert host["aggregation_dimensions"] == [["InstanceId"]]
    for kind, chosen in host["metrics_collected"].items():
        for measurement in chosen["measurement"]:
            yield f"{kind}_{measurement}"


def workers_by_state() -> set[str]:
    """Returns the states for which the autoscaler exports a gauge."""
    return set(re.findall(r'^            \("(\w+)", ', inspect.getsource(Autoscaler._set_worker_gauges), re.MULTILINE))


def declarations() -> Iterator[tuple[str, frozenset[str]]]:
    """Yields the names and dimensions of our metrics that the CloudWatch agent declares."""
    agent = json.loads((AGENT / "agent-orchestrator.json").read_text())
    processor = agent["logs"]["metrics_collected"]["prometheus"]["emf_processor"]
    assert processor["metric_namespace"] == agent["metrics"]["namespace"] == NAMESPACE
    for declaration in processor["metric_declaration"]:
        assert re.search(declaration["label_matcher"], job()["job_name"])
        assert declaration["source_labels"] == ["job"]
        for selector in declaration["metric_selectors"]:
            for dimensions in declaration["dimensions"]:
                yield selector.removeprefix("^").removesuffix("$"), frozenset(dimensions)


def job() -> dict[str, Any]:
    (found,) = yaml.safe_load((AGENT / "prometheus.yaml").read_text())["scrape_configs"]
    assert isinstance(found, dict)
    return found


def test_the_agent_declares_metrics_that_it_can_read() -> None:
    families = [family for process in PROCESSES for family in process.families]
    there = {family.name: family.kind for family in families}
    labels = {family.name: set(family.labels) for family in families}
    for name, dimensions in declarations():
        assert there[name] in ("gauge", "counter"), "the agent drops histograms"
        assert dimensions <= {"job"} | labels[name], name


def test_the_agent_keeps_only_the_metrics_that_it_declares() -> None:
    (keep,) = [rule for rule in job()["metric_relabel_configs"] if rule["action"] == "keep"]
    declared = {name for name, _ in declarations()}
    collected = [family for process in PROCESSES for family in process.registry.collect()]
    names = {sample.name for family in collected for sample in family.samples} | declared
    kept = [
        name
        for component in ("api", "worker", "operator")
        for name in names
        if re.fullmatch(keep["regex"], f"{component};{name}")
    ]
    assert keep["source_labels"] == ["component", "__name__"]
    assert sorted(kept) == sorted(declared), (
        "one component each; a metric without a declaration would cost money as a log line"
    )


def test_the_agent_reads_the_file_that_a_rollout_installs() -> None:
    agent = json.loads((AGENT / "agent-orchestrator.json").read_text())
    named = Path(agent["logs"]["metrics_collected"]["prometheus"]["prometheus_config_path"])
    script = (Path(__file__).parents[2] / "scripts" / "before_install.sh").read_text()
    assert f'"$agent/{named.parent.name}/{named.name}"' in script
    assert f"agent=$root{named.parents[1]}\n" in script
    groups = {found["LogGroupName"] for found in of_type("AWS::Logs::LogGroup").values()}
    assert agent["logs"]["metrics_collected"]["prometheus"]["log_group_name"] in groups
