"""The objects of the chart are valid for each supported minor of Kubernetes, and for the CRDs of other projects."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, CI_VALUES, KEY, helm
from tests.chart.schemas import write_schemas
from tests.support.toolchain import built

OLDEST = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"].removeprefix(">=").rpartition(".")[0]
MINORS = (OLDEST, "1.34", "1.36")
CRD = CHART / "files" / "crds" / "agenttasks.yaml"
K8S = CHART.parents[1] / "k8s"
WRITTEN = [
    *sorted((K8S / "samples").glob("*.yaml")),
    *sorted((K8S / "monitoring").glob("*.yaml")),
    K8S / "k3s" / "traefik.yaml",
]


@pytest.fixture(scope="module")
def locations(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    crds = [CRD, *sorted((built("charts") / "crds").iterdir())]
    return write_schemas(tmp_path_factory.mktemp("schemas"), minors=MINORS, crds=crds)


def judged(files: Iterable[Path], minor: str, locations: Sequence[str]) -> dict[str, Any]:
    options = ["-strict", "-summary", "-output", "json", "-kubernetes-version", f"{minor}.0"]
    done = subprocess.run(  # noqa: S603  kubeconform, with arguments of this test
        [str(built("charts") / "kubeconform"), *options, *locations, *map(str, files)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("minor", MINORS)
def test_every_example_is_valid(minor: str, locations: list[str], tmp_path: Path) -> None:
    objects = 0
    for values in CI_VALUES:
        example = {**KEY, **yaml.safe_load(values.read_text())}
        text = helm("template", "ao", str(CHART), "--kube-version", f"{minor}.0", values=example)
        (tmp_path / values.name).write_text(text)
        objects += text.count("\nkind: ")
    report = judged(tmp_path.iterdir(), minor, locations)
    assert report["resources"] == []
    assert report["summary"] == {"valid": objects, "invalid": 0, "errors": 0, "skipped": 0}


def test_the_oldest_minor_has_the_features_that_the_chart_uses() -> None:
    """Kubernetes drops a field of a feature that is off, and reports nothing."""
    beta_since = {"selectableFields": 31, "preStop:\n              sleep": 30, "ValidatingAdmissionPolicy": 30}
    texts = [path.read_text() for path in (*(CHART / "templates").rglob("*.yaml"), CRD)]
    used = {minor for feature, minor in beta_since.items() if any(feature in text for text in texts)}
    assert used == set(beta_since.values())
    assert int(OLDEST.partition(".")[2]) >= max(used)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_objects_that_are_applied_by_hand_are_valid(path: Path, locations: list[str]) -> None:
    report = judged([path], MINORS[-1], locations)
    assert report["resources"] == []
    assert report["summary"]["valid"] == path.read_text().count("\napiVersion: ") + path.read_text().startswith(
        "apiVersion"
    )


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("Deployment", {"apiVersion": "apps/v1", "spec": {"replica": 1}}),
        ("NetworkPolicy", {"apiVersion": "networking.k8s.io/v1", "spec": {"podSelector": {}, "egres": []}}),
        ("ScaledObject", {"apiVersion": "keda.sh/v1alpha1", "spec": {"scaleTargetRef": {"name": "w"}, "trigger": []}}),
        ("ExternalSecret", {"apiVersion": "external-secrets.io/v1", "spec": {"targets": {"name": "s"}}}),
        ("SecretStore", {"apiVersion": "external-secrets.io/v1", "spec": {"provider": {"aws": {"regio": "r"}}}}),
        ("PodMonitor", {"apiVersion": "monitoring.coreos.com/v1", "spec": {"selector": {}, "podMetricsEndpoint": []}}),
        ("AgentTask", {"apiVersion": "agentorchestrator.dev/v1alpha1", "spec": {"tasks": "typo"}}),
    ],
)
def test_a_typo_is_found(kind: str, wrong: dict[str, Any], locations: list[str], tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump({"kind": kind, "metadata": {"name": "wrong"}, **wrong}))
    (verdict,) = judged([file], MINORS[-1], locations)["resources"]
    assert verdict["status"] == "statusInvalid"
