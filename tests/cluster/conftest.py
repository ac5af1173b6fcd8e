"""One control plane for the session, with our CRD, and a namespace for each test."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.control_plane import ControlPlane, find_binaries, running_control_plane
from tests.cluster.operators import build_operator, grant, running
from tests.support.stack import Part, Stack, running_stack
from tests.support.toolchain import NoGo, built


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Builds the binaries if they are missing, which takes minutes, once."""
    try:
        binaries = find_binaries()
        built("helm")
    except NoGo as reason:
        pytest.skip(str(reason))
    with running_control_plane(binaries) as plane:
        plane.install_crd()
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Creates a namespace for one test and deletes it with its objects."""
    name = f"test-{uuid.uuid4().hex[:8]}-{os.getpid()}"
    control_plane.run("create", "namespace", name)
    yield name
    _release_all(control_plane, name)
    control_plane.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def _release_all(plane: ControlPlane, namespace: str) -> None:
    """Removes the finalizers that a killed operator left: they would block the ends of the namespace and of the CRD."""
    change = json.dumps({"metadata": {"finalizers": None}})
    for body in plane.get("agenttasks", "-n", namespace)["items"]:
        if "finalizers" in body["metadata"]:
            plane.run("patch", f"at/{body['metadata']['name']}", "-n", namespace, "--type=merge", "-p", change)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Starts one whole system for the tests of a module."""
    with running_stack() as running_one:
        yield running_one


@pytest.fixture
def operator(control_plane: ControlPlane, stack: Stack, namespace: str, tmp_path: Path) -> Iterator[Part]:
    """Runs the operator for the namespace of this test."""
    grant(control_plane, namespace)
    with running(build_operator(control_plane, stack, namespace, tmp_path)) as part:
        yield part
