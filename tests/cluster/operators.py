"""The operator as a process of its own, with its own service account, beside a whole system."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.control_plane import ControlPlane, kubeconfig_for
from tests.servers import HOST, free_port
from tests.stack import Part, Stack

FILES = Path(__file__).parents[2] / "charts" / "agent-orchestrator" / "files"
RULES = [FILES / "operator-rules.yaml", FILES / "autoscaler-rules.yaml"]
ACCOUNT = "agent-operator"
KIND = {"apiVersion": "agentorchestrator.dev/v1alpha1", "kind": "AgentTask"}
CODE = "Write a Python function that adds two numbers."


def grant(plane: ControlPlane, namespace: str) -> None:
    """The service account, with the chart's rules in its own namespace."""
    metadata = {"name": ACCOUNT, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    plane.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [rule for path in RULES for rule in yaml.safe_load(path.read_text())],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
        },
    )


def build_operator(
    plane: ControlPlane,
    stack: Stack,
    namespace: str,
    folder: Path,
    *,
    name: str = "operator",
    settings: Mapping[str, str] | None = None,
    module: Sequence[str] = ("agent_operator",),
) -> Part:
    """Not started."""
    token = plane.run("create", "token", ACCOUNT, "-n", namespace).stdout.strip()
    kubeconfig = folder / f"{name}.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(kubeconfig_for(plane.url, token)))
    port = free_port()
    environment = {
        **stack.parts["api"].environment,
        "KUBECONFIG": str(kubeconfig),
        "AGENT_OPERATOR_API_URL": stack.api_url,
        "AGENT_OPERATOR_NAMESPACES": namespace,
        "AGENT_OPERATOR_PORT": str(port),
        **(settings or {}),
    }
    return Part(name, module, environment, f"http://{HOST}:{port}/health", folder / f"{name}.log")


@contextmanager
def running(part: Part) -> Iterator[Part]:
    part.start()
    try:
        yield part
    finally:
        part.stop()


def agent_task(name: str, text: str = CODE, **spec: Any) -> dict[str, Any]:
    return {**KIND, "metadata": {"name": name}, "spec": {"task": text, **spec}}


def create(plane: ControlPlane, namespace: str, *objects: Mapping[str, Any]) -> None:
    plane.run("create", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(objects))


def read(plane: ControlPlane, namespace: str, name: str) -> dict[str, Any]:
    body: dict[str, Any] = plane.get(f"agenttask/{name}", "-n", namespace)
    return body


def status_of(plane: ControlPlane, namespace: str, name: str) -> dict[str, Any]:
    status: dict[str, Any] = read(plane, namespace, name).get("status") or {}
    return status


def condition(status: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return next((found for found in status.get("conditions", ()) if found["type"] == kind), {})


def wait_for(look: Callable[[], bool], *, seconds: float = 30, what: str = "it") -> None:
    """Looks until it is so; fails the test where it does not come."""
    give_up_at = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < give_up_at, f"{what} did not come within {seconds} s"
        time.sleep(0.1)
