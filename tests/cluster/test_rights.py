"""The operator's service account may do what it needs, and nothing else."""

from __future__ import annotations

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.operators import ACCOUNT, grant

ALLOWED = [
    ("list", "agenttasks"), ("watch", "agenttasks"), ("patch", "agenttasks"), ("delete", "agenttasks"),
    ("patch", "agenttasks/status"), ("create", "events"),
    ("get", "deployments/worker"), ("get", "deployments/worker --subresource=scale"),
    ("patch", "deployments/worker --subresource=scale"),
    ("list", "pods"), ("patch", "pods"), ("list", "horizontalpodautoscalers"),
]  # fmt: skip
FORBIDDEN = [
    ("create", "agenttasks"), ("get", "agenttasks"), ("update", "agenttasks"), ("deletecollection", "agenttasks"),
    ("update", "agenttasks/status"), ("get", "secrets"), ("list", "secrets"), ("get", "configmaps"),
    ("create", "pods"), ("delete", "pods"), ("get", "pods"), ("create", "pods/exec"), ("get", "pods/log"),
    ("patch", "deployments/worker"), ("get", "deployments/api"), ("patch", "deployments/api --subresource=scale"),
    ("update", "deployments/worker --subresource=scale"), ("list", "deployments"), ("delete", "deployments"),
    ("list", "namespaces"), ("list", "customresourcedefinitions"), ("create", "serviceaccounts/token"),
    ("patch", "horizontalpodautoscalers"), ("delete", "events"), ("list", "nodes"), ("escalate", "roles"),
]  # fmt: skip


def may(plane: ControlPlane, namespace: str, verb: str, what: str) -> bool:
    account = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    answer = plane.run("auth", "can-i", verb, *what.split(), f"--as={account}", "-n", namespace, check=False)
    return answer.stdout.strip() == "yes"


@pytest.fixture
def granted(control_plane: ControlPlane, namespace: str) -> str:
    grant(control_plane, namespace)
    return namespace


def test_it_may_do_what_it_needs(control_plane: ControlPlane, granted: str) -> None:
    assert [case for case in ALLOWED if not may(control_plane, granted, *case)] == []


def test_all_else_is_forbidden(control_plane: ControlPlane, granted: str) -> None:
    assert [case for case in FORBIDDEN if may(control_plane, granted, *case)] == []


def test_its_rights_end_at_its_namespace(control_plane: ControlPlane, granted: str) -> None:
    account = f"system:serviceaccount:{granted}:{ACCOUNT}"
    elsewhere = control_plane.run(
        "auth", "can-i", "list", "agenttasks", f"--as={account}", "-n", "default", check=False
    )
    assert elsewhere.stdout.strip() == "no"
