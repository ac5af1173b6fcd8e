"""The CRD on a real API server: each rule accepts valid objects, and refuses others with a readable message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.control_plane import ROOT, ControlPlane

CASES = Path(__file__).parent / "agenttasks"
REFUSED = "# Refused: "


def _apply(plane: ControlPlane, namespace: str, document: dict[str, Any]) -> str:
    """Returns the error of kubectl; empty if the API server accepts the object and, if it has one, its status."""
    for subresource in ([], ["--subresource=status"]) if "status" in document else ([],):
        done = plane.run(
            "apply", "-n", namespace, "--server-side", "--force-conflicts", *subresource, "-f", "-",
            stdin=yaml.safe_dump(document), check=False,
        )  # fmt: skip
        if done.returncode:
            return done.stderr
    return ""


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_rule_accepts_and_refuses(control_plane: ControlPlane, namespace: str, case: str) -> None:
    for document in _documents(CASES / case / "accepted.yaml"):
        assert _apply(control_plane, namespace, document) == ""

    for path in sorted((CASES / case).glob("refused*.yaml")):
        control_plane.run("delete", "agenttasks", "--all", "-n", namespace)
        *before, last = _documents(path)
        for document in before:
            assert _apply(control_plane, namespace, document) == ""
        error = _apply(control_plane, namespace, last)

        wanted = path.read_text().splitlines()[0].removeprefix(REFUSED)
        assert wanted in error, path.name


def test_a_text_that_is_too_long_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    document = _documents(CASES / "task-is-not-empty" / "accepted.yaml")[0]

    assert _apply(control_plane, namespace, {**document, "spec": {"task": "x" * 32_768}}) == ""
    error = _apply(control_plane, namespace, {**document, "spec": {"task": "x" * 32_769}})

    assert "spec.task: Too long: may not be more than 32768" in error


def test_an_absent_field_has_its_default(control_plane: ControlPlane, namespace: str) -> None:
    _apply(control_plane, namespace, _documents(CASES / "task-is-not-empty" / "accepted.yaml")[0])

    assert control_plane.get("agenttask/article", "-n", namespace)["spec"] == {
        "task": "?",
        "priority": 0,
        "backoffLimit": 2,
        "ttlSecondsAfterFinished": 86_400,
        "cancel": False,
        "suspend": False,
    }


def test_objects_are_found_by_short_name_phase_and_agent(control_plane: ControlPlane, namespace: str) -> None:
    document = _documents(CASES / "agent-is-a-name" / "accepted.yaml")[0]
    _apply(control_plane, namespace, {**document, "status": {"phase": "Queued"}})

    for selector in ("spec.agent=CodeAgent", "status.phase=Queued"):
        assert len(control_plane.get("at", "-n", namespace, f"--field-selector={selector}")["items"]) == 1
    assert control_plane.get("at", "-n", namespace, "--field-selector=status.phase=Failed")["items"] == []
    assert len(control_plane.get("agents", "-n", namespace)["items"]) == 1


def test_columns_show_agent_phase_tokens_and_cost(control_plane: ControlPlane, namespace: str) -> None:
    document = _documents(CASES / "agent-is-a-name" / "accepted.yaml")[0]
    status = {
        "phase": "Completed",
        "agent": "ContentAgent",
        "usage": {"totalTokens": 2181, "costUSD": "0.014300"},
    }
    _apply(control_plane, namespace, {**document, "status": status})

    header, line = control_plane.run("get", "agenttasks", "-n", namespace).stdout.splitlines()

    assert header.split() == ["NAME", "AGENT", "PHASE", "TOKENS", "COST", "ERROR", "AGE"]
    assert line.split()[:5] == ["article", "ContentAgent", "Completed", "2181", "0.014300"]


def _undescribed(schema: dict[str, Any], path: str = "") -> list[str]:
    missing = [] if path == "" or schema.get("description") else [path]
    for name, part in schema.get("properties", {}).items():
        if path or name in ("spec", "status"):
            missing += _undescribed(part, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        missing += [where for where in _undescribed(schema["items"], f"{path}[]") if where != f"{path}[]"]
    return missing


def test_every_field_is_explained(control_plane: ControlPlane) -> None:
    crd = control_plane.get("crd/agenttasks.agentorchestrator.dev")
    (version,) = crd["spec"]["versions"]

    assert _undescribed(version["schema"]["openAPIV3Schema"]) == []
    explained = control_plane.run("explain", "agenttask.spec.budget.maxCostUSD").stdout
    assert "Maximum cost in USD" in explained


@pytest.mark.parametrize("path", sorted((ROOT / "k8s" / "samples").glob("*.yaml")), ids=lambda path: path.stem)
def test_samples_are_accepted(control_plane: ControlPlane, namespace: str, path: Path) -> None:
    control_plane.run("apply", "-n", namespace, "-f", str(path))
