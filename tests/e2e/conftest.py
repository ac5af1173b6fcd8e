"""One cluster with the product's images for the session; each test module installs its own release."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.provider import DOCKERFILES, ROOT, TAG, NoProvider, Provider, cluster_of, named_provider
from tests.support.kubernetes import Kubectl


@pytest.fixture(scope="session")
def provider() -> Provider:
    try:
        return named_provider()
    except NoProvider as reason:
        pytest.exit(str(reason), returncode=2)


@pytest.fixture(scope="session")
def cluster(provider: Provider) -> Iterator[Kubectl]:
    with cluster_of(provider) as kubectl:
        yield kubectl


@pytest.fixture(scope="session")
def next_worker(provider: Provider, cluster: Kubectl) -> str:
    """Builds the next version of the worker image, and returns its name without its tag."""
    name = "agent-orchestrator-worker-next"
    provider.image(f"{name}:{TAG}", ROOT, DOCKERFILES["worker"], "worker")
    return name
