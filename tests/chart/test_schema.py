"""The schema of the values: unknown values are refused with their path, and every value has a description."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, cast, get_args

import pytest
import yaml

from agent_operator.autoscaler.policy import Policy
from app.settings.catalogue import CONNECTIONS, PROVIDER_KEYS, SETTINGS, set_by_chart
from tests.chart.rendering import CHART, KEY, STORES, helm, over, render

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
LINES = (CHART / "values.yaml").read_text().splitlines()
NUMBERS = {int, float, bool}
POLICY = "/worker/autoscaling/policy"


def refusal(further: dict[str, Any]) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render("team", values=over(STORES, further))
    return str(refused.value.stderr)


def with_policy(**settings: Any) -> dict[str, Any]:
    return {"worker": {"autoscaling": {"policy": settings}}}


@pytest.mark.parametrize(
    ("further", "path", "reason"),
    [
        ({"workers": {}}, "", "'workers' not allowed"),
        ({"worker": {"replica": 2}}, "/worker", "'replica' not allowed"),
        ({"stores": {"mongoUri": "mongodb://m/"}}, "", "'stores' not allowed"),
        ({"secrets": {"inline": {"providers": {"OPENAI_KEY": "k"}}}}, "/secrets/inline/providers", "'OPENAI_KEY'"),
        ({"worker": {"autoscaling": {"mode": "vpa"}}}, "/worker/autoscaling/mode", "must be one of"),
        ({"worker": {"concurrency": 0}}, "/worker/concurrency", "minimum"),
        ({"operator": {"namespaces": "one,two"}}, "/operator/namespaces", "want array"),
        (
            {"worker": {"autoscaling": {"policy": {"max_replica": 3}}}},
            "/worker/autoscaling/policy",
            "'max_replica' not",
        ),
        ({"env": {"NOT-A-NAME": "1"}}, "/env", "'NOT-A-NAME' not allowed"),
        ({"env": {"NESTED": {"a": 1}}}, "/env/NESTED", "got object, want boolean or number or string"),
        ({"images": {"tag": "latest"}}, "/images/tag", "not"),
        ({"images": {"registry": "registry.internal"}}, "/images/registry", "pattern"),
        ({"images": {"references": {"api": "api"}}}, "/images/references/api", "pattern"),
        ({"secrets": {"externalSecret": {"path": "ao/prod/"}}}, "/secrets/externalSecret/path", "pattern"),
        (with_policy(utilisation=7), f"{POLICY}/utilisation", "maximum"),
        (with_policy(down_share=0), f"{POLICY}/down_share", "exclusiveMinimum"),
        (with_policy(min_replicas=-1), f"{POLICY}/min_replicas", "minimum"),
        (with_policy(max_replicas=0), f"{POLICY}/max_replicas", "minimum"),
        (with_policy(up_pods=1.5), f"{POLICY}/up_pods", "want integer"),
        (with_policy(up_pods="2"), f"{POLICY}/up_pods", "want integer"),
        ({"env": {"BIG": 12345678901234567890}}, "/env/BIG", "maximum"),
        ({"api": {"podSpec": {"containers": []}}}, "/api/podSpec/containers", "false schema"),
        ({"api": {"containerSpec": {"image": "other"}}}, "/api/containerSpec/image", "false schema"),
        ({"worker": {"podSpec": {"terminationGracePeriodSeconds": 5}}}, "/worker/podSpec/termination", "false schema"),
        ({"worker": {"deploymentSpec": {"replicas": 2}}}, "/worker/deploymentSpec/replicas", "false schema"),
        ({"operator": {"deploymentSpec": {"strategy": {}}}}, "/operator/deploymentSpec/strategy", "false schema"),
        ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "/commonLabels/app.kubernetes.io~1name", "false schema"),
        ({"api": {"service": {"spec": {"ports": []}}}}, "/api/service/spec/ports", "false schema"),
    ],
)
def test_an_unknown_or_wrong_value_is_refused_with_its_path(further: dict[str, Any], path: str, reason: str) -> None:
    message = refusal(further)
    assert f"at '{path}" in message
    assert reason in message


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ("images: {tag: 1.10}", "/images/tag"),
        ("images: {tag: 1.0}", "/images/tag"),
        ("images: {tag: 20261201}", "/images/tag"),
        ("images: {tag: true}", "/images/tag"),
        ("images: {pullSecrets: [{name: 1}]}", "/images/pullSecrets/0/name"),
        ("operator: {clusterName: 1.10}", "/operator/clusterName"),
        ("operator: {namespaces: [1, 2]}", "/operator/namespaces/0"),
        ("serviceKey: {existingSecret: 1.10}", "/serviceKey/existingSecret"),
        ("secrets: {inline: {providers: {OPENAI_API_KEY: 12345678901234567890}}}", "/secrets/inline/providers/OPENAI"),
        ("secrets: {inline: {worker: {WEATHER_KEY: 0123}}}", "/secrets/inline/worker/WEATHER_KEY"),
        ("worker: {nodeSelector: {gpu: true}}", "/worker/nodeSelector/gpu"),
        ("api: {podAnnotations: {injected: yes}}", "/api/podAnnotations/injected"),
        ("monitoring: {labels: {release: 1.10}}", "/monitoring/labels/release"),
        ("api: {env: {AGENT_API_AUTH: off}}", "/api/env/AGENT_API_AUTH"),
        ("env: {LLM_PEER_MODEL: 4.10}", "/env/LLM_PEER_MODEL"),
    ],
)
def test_a_text_that_yaml_reads_as_something_else_is_refused_with_advice(lines: str, path: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        helm("template", "ao", str(CHART), stdin=lines)
    message = str(refused.value.stderr)
    assert f"at '{path}" in message
    assert "a text: write it in quotes (on the command line: --set-string)" in message


def test_texts_in_quotes_and_numbers_of_settings_are_accepted() -> None:
    values = {"images": {"tag": "1.10"}, "api": {"env": {"AGENT_API_AUTH": "off"}}, "env": {"AGENT_LEASE_SECONDS": 1.5}}
    text = helm("template", "ao", str(CHART), values=over(over(STORES, KEY), values))
    assert "agent-orchestrator-api:1.10\n" in text
    assert 'AGENT_LEASE_SECONDS: "1.5"' in text


def test_settings_that_are_texts_are_known_to_the_schema() -> None:
    """A number in YAML may be meant as a text only if the setting is one."""
    elsewhere = CONNECTIONS | PROVIDER_KEYS
    kinds = {name: set(get_args(field.annotation) or [field.annotation]) for name, field in SETTINGS.items()}
    texts = {name for name, kind in kinds.items() if not NUMBERS & kind}
    texts -= {name for name in texts if name in elsewhere or set_by_chart(name)}
    (pattern,) = [
        pattern for pattern, rule in SCHEMA["definitions"]["variables"]["patternProperties"].items() if "$ref" in rule
    ]
    assert pattern == f"^({'|'.join(sorted(texts))})$"


def paths(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from paths(part, f"{prefix}{name}.")


def keys(node: yaml.MappingNode, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yields the path of each key of the defaults, and its line, counted from 0."""
    for key, value in node.value:
        path = f"{prefix}{key.value}"
        yield path, key.start_mark.line
        if isinstance(value, yaml.MappingNode):
            yield from keys(value, f"{path}.")


DEFAULTS = list(keys(cast("yaml.MappingNode", yaml.compose("\n".join(LINES)))))


def test_schema_and_defaults_name_the_same_values() -> None:
    known, given = set(paths(SCHEMA)), {path for path, _ in DEFAULTS}
    free = re.compile(r"(.*\.resources|(pod|container)SecurityContext|worker\.autoscaling\.policy)\..+")
    optional = re.compile(
        r"global|.*\.resources\.claims|images\.references\..+|secrets\.inline\.(stores|providers)\..+"
        r"|worker\.autoscaling\.policy\..+"
    )
    assert {path for path in given - known if not free.fullmatch(path)} == set()
    assert {path for path in known - given if not optional.fullmatch(path)} == set()


def test_every_value_has_a_description() -> None:
    described: set[str] = set()
    for path, line in DEFAULTS:
        comment = list(takewhile(lambda text: text.lstrip().startswith("#"), reversed(LINES[:line])))
        if comment and comment[-1].lstrip().startswith("# -- "):
            described.add(path)
    silent = [path for path, _ in DEFAULTS if not any(f"{path}.".startswith(f"{known}.") for known in described)]
    groups = {path.rpartition(".")[0] for path, _ in DEFAULTS}
    assert [path for path in silent if path not in groups] == []


def test_connection_strings_and_keys_are_those_of_the_settings() -> None:
    inline = SCHEMA["properties"]["secrets"]["properties"]["inline"]["properties"]
    assert set(inline["stores"]["properties"]) == CONNECTIONS
    assert set(inline["providers"]["properties"]) == PROVIDER_KEYS


def test_the_policy_has_the_settings_of_the_autoscaler() -> None:
    policy = SCHEMA["properties"]["worker"]["properties"]["autoscaling"]["properties"]["policy"]
    assert set(policy["properties"]) == set(Policy.model_fields)


def test_the_policy_has_the_bounds_of_the_autoscaler() -> None:
    kept = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    policy = SCHEMA["properties"]["worker"]["properties"]["autoscaling"]["properties"]["policy"]["properties"]
    fields = Policy.model_json_schema()["properties"]
    assert policy == {name: {key: field[key] for key in kept if key in field} for name, field in fields.items()}
    defaults = yaml.safe_load("\n".join(LINES))["worker"]["autoscaling"]["policy"]
    assert Policy.model_validate(defaults) == Policy()
