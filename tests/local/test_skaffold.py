"""skaffold.yaml and the files that it names, checked without running skaffold or kind."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from tests.chart.rendering import over, render
from tests.e2e.provider import ROOT
from tests.support.toolchain import built_or_skipped

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
ARTIFACTS: dict[str, dict[str, Any]] = {artifact["image"]: artifact for artifact in CONFIG["build"]["artifacts"]}
(RELEASE,) = CONFIG["deploy"]["helm"]["releases"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def read(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / path).read_text())
    return found


def test_it_follows_the_schema() -> None:
    schema = built_or_skipped("skaffold") / "skaffold.json"
    done = CliRunner().invoke(check_jsonschema, ["--schemafile", str(schema), str(ROOT / "skaffold.yaml")])
    assert done.exit_code == 0, done.output


def test_every_target_exists_in_its_dockerfile() -> None:
    for artifact in ARTIFACTS.values():
        text = (ROOT / artifact["docker"]["dockerfile"]).read_text()
        assert re.search(rf" AS {artifact['docker']['target']}$", text, re.MULTILINE)
    components = [artifact["docker"].get("buildArgs", {}).get("COMPONENT") for artifact in ARTIFACTS.values()]
    for component in filter(None, components):
        assert f"FROM runtime AS {component}\n" in DOCKERFILE


def test_synchronized_source_replaces_the_source_in_the_image() -> None:
    for artifact in ARTIFACTS.values():
        for rule in artifact.get("sync", {}).get("manual", ()):
            folder = rule["src"].partition("/")[0]
            assert f"COPY --chown=10001:10001 {folder} {rule['dest']}/{folder}\n" in DOCKERFILE
            assert list(ROOT.glob(rule["src"]))


@pytest.mark.parametrize("reload", [True, False], ids=["dev", "e2e"])
def test_the_chart_uses_every_image_that_is_built(reload: bool) -> None:
    files = RELEASE["valuesFiles"] if reload else ["k8s/kind/values.yaml"]
    values: dict[str, Any] = {}
    for file in files:
        values = over(values, read(file))
    for path, template in RELEASE["setValueTemplates"].items():
        (name,) = re.findall(r"\{\{\.IMAGE_FULLY_QUALIFIED_(\w+)\}\}", template)
        assert name.replace("_", "-") in ARTIFACTS
        part: dict[str, Any] = {path.rpartition(".")[2]: f"{name.replace('_', '-')}:built"}
        for key in reversed(path.split(".")[:-1]):
            part = {key: part}
        values = over(values, part)
    images = {
        container["image"]
        for body in render(RELEASE["namespace"], values=values)
        if body["kind"] == "Deployment"
        for container in body["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"{image}:built" for image in ARTIFACTS}


def test_the_profile_for_tests_builds_the_released_images() -> None:
    (profile,) = [profile for profile in CONFIG["profiles"] if profile["name"] == "e2e"]
    targets = [patch["value"]["target"] for patch in profile["patches"] if patch["path"].endswith("/docker")]
    assert targets == ["api", "worker", "operator"]
    order = [artifact["image"].rpartition("-")[2] for artifact in CONFIG["build"]["artifacts"]]
    assert order[:3] == targets


def test_the_cluster_is_the_target_of_the_deployment() -> None:
    assert CONFIG["deploy"]["kubeContext"] == f"kind-{read('k8s/kind/cluster.yaml')['name']}"
