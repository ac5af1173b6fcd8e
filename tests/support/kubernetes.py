"""kubectl on any cluster, and AgentTasks through it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

KIND = {"apiVersion": "agentorchestrator.dev/v1alpha1", "kind": "AgentTask"}
LONGEST_SECONDS = 300  # longer than any --timeout that a test gives
CODE = "Write a Python function that adds two numbers."


@dataclass(frozen=True)
class Kubectl:
    """A kubectl that acts as the user of one kubeconfig."""

    kubectl: Path
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs kubectl. Raises AssertionError if it fails, subprocess.TimeoutExpired if it hangs."""
        done = subprocess.run(  # noqa: S603  kubectl with a test's arguments
            self.command(*arguments), input=stdin, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)} failed: {done.stderr or done.stdout}")
        return done

    def command(self, *arguments: str) -> list[str]:
        return [str(self.kubectl), f"--kubeconfig={self.kubeconfig}", *arguments]

    def get(self, *arguments: str) -> Any:
        return json.loads(self.run("get", *arguments, "-o", "json").stdout)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.run("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))


def agent_task(name: str, text: str = CODE, **spec: Any) -> dict[str, Any]:
    return {**KIND, "metadata": {"name": name}, "spec": {"task": text, **spec}}


def create(kubectl: Kubectl, namespace: str, *objects: Mapping[str, Any]) -> None:
    kubectl.run("create", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(objects))


def read(kubectl: Kubectl, namespace: str, name: str) -> dict[str, Any]:
    body: dict[str, Any] = kubectl.get(f"agenttask/{name}", "-n", namespace)
    return body


def status_of(kubectl: Kubectl, namespace: str, name: str) -> dict[str, Any]:
    status: dict[str, Any] = read(kubectl, namespace, name).get("status") or {}
    return status


def condition(status: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return next((found for found in status.get("conditions", ()) if found["type"] == kind), {})
