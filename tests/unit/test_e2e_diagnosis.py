"""The report of a failed end-to-end test: the state of its release, whatever part of it cannot be read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.diagnosis import diagnosis
from tests.support.kubernetes import Kubectl

KUBECTL = """#!/bin/sh
folder=$(dirname "$0")
case "$*" in
*" get pods "*) cat "$folder/pods.json" ;;
*" logs quiet "*) echo "pods quiet not found" >&2; exit 1 ;;
*--previous*) echo '{"event": "before"}' ;;
*" logs "*) cat "$folder/log" ;;
esac
"""
DECISION = {
    "at": "2026-12-01T06:00:00Z",
    "reason": "busy",
    "explanation": "9 tasks wait for 1 worker.",
    **dict.fromkeys(("replicas", "draining", "staying", "desired"), 1),
}


def pod(name: str, component: str, *, restarts: int = 0) -> dict[str, Any]:
    killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137}} if restarts else {}
    container = {"name": "main", "ready": True, "restartCount": restarts, "state": {"running": {}}, "lastState": killed}
    metadata = {"name": name, "labels": {"app.kubernetes.io/component": component}}
    return {"metadata": metadata, "status": {"phase": "Running", "containerStatuses": [container]}}


@pytest.fixture
def kubectl(tmp_path: Path) -> Kubectl:
    """Builds a kubectl that answers from files."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o700)
    pods = [pod("worker-1", "worker", restarts=2), pod("quiet", "api"), pod("mongodb-0", "mongodb")]
    (tmp_path / "pods.json").write_text(json.dumps({"items": pods}))
    (tmp_path / "log").write_text('{"event": "claimed"}\nValueError: invalid text: "my prompt"\n')
    return Kubectl(program, tmp_path / "config")


def unavailable() -> Sequence[Mapping[str, Any]]:
    raise ConnectionError("the API is down\nand this is a long story")


def test_decisions_pods_and_log_lines_are_shown(kubectl: Kubectl) -> None:
    sections = dict(diagnosis(kubectl, "team", lambda: [DECISION]))

    assert sections["last decisions"] == (
        "2026-12-01T06:00:00Z busy replicas=1 draining=1 staying=1 desired=1: 9 tasks wait for 1 worker."
    )
    assert sections["pods"].splitlines()[0] == (
        "worker-1: Running; main ready, 2 restarts, state running, lastState terminated OOMKilled 137"
    )
    assert sections["log of worker-1 before its restart"] == '{"event": "before"}'


def test_a_line_that_may_quote_a_text_is_cut(kubectl: Kubectl) -> None:
    assert dict(diagnosis(kubectl, "team"))["log of worker-1"] == '{"event": "claimed"}\nValueError'


def test_a_part_that_cannot_be_read_hides_no_other(kubectl: Kubectl, tmp_path: Path) -> None:
    sections = dict(diagnosis(kubectl, "team", unavailable))

    assert sections["last decisions"] == "cannot be read: ConnectionError: the API is down"
    assert sections["log of quiet"].startswith("cannot be read: AssertionError")
    assert "log of worker-1" in sections
    (tmp_path / "pods.json").unlink()
    assert [title for title, _ in diagnosis(kubectl, "team", unavailable)] == ["last decisions", "pods"]
