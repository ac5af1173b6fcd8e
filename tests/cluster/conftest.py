"""One control plane for the session, with our CRD; a namespace for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.control_plane import ControlPlane, NoControlPlane, find_binaries, running_control_plane


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """The binaries are built where they are not there, which takes minutes, once."""
    try:
        binaries = find_binaries()
    except NoControlPlane as reason:
        pytest.skip(str(reason))
    with running_control_plane(binaries) as plane:
        plane.install_crd()
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """This test's own; what is left in it goes with it."""
    name = f"test-{uuid.uuid4().hex[:8]}-{os.getpid()}"
    control_plane.run("create", "namespace", name)
    yield name
    control_plane.run("delete", "namespace", name, "--wait=false")
