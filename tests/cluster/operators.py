"""The operator as a separate process, with its own service account, beside a whole system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.chart.rendering import NAME, render
from tests.cluster.control_plane import ControlPlane, kubeconfig_for
from tests.support.servers import HOST, free_port
from tests.support.stack import Part, Stack

ACCOUNT = f"{NAME}-operator"
RIGHTS = [f"operator/{kind}.yaml" for kind in ("serviceaccount", "roles", "rolebindings", "validatingadmissionpolicy")]


def grant(plane: ControlPlane, namespace: str) -> None:
    """Creates the service account with the chart's rights on AgentTasks and workers of this namespace."""
    rights = render(namespace, *RIGHTS)
    plane.run("apply", "--server-side", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(rights))


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
    """Builds the operator; the caller starts it."""
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
