"""The schema of the values: unknown values are refused with their path, and every value has a description."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, cast

import pytest
import yaml

from agent_operator.autoscaler.policy import Policy
from app.settings.catalogue import CONNECTIONS, PROVIDER_KEYS
from tests.chart.rendering import CHART, STORES, over, render

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
LINES = (CHART / "values.yaml").read_text().splitlines()


def refusal(further: dict[str, Any]) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render("team", values=over(STORES, further))
    return str(refused.value.stderr)


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
    ],
)
def test_an_unknown_or_wrong_value_is_refused_with_its_path(further: dict[str, Any], path: str, reason: str) -> None:
    message = refusal(further)
    assert f"at '{path}'" in message
    assert reason in message


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
