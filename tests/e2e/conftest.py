"""One cluster with the product's images for the session; each test module installs its own release.

The report of a failed test gets the state of its release.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.diagnosis import Section, diagnosis
from tests.e2e.installation import Installation
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and report.when != "teardown":
        report.sections += _diagnosis_for(getattr(item, "funcargs", {}))
    return report


def _diagnosis_for(arguments: Mapping[str, Any]) -> list[Section]:
    """Reads the state of the release of a test with these fixtures; nothing if its fixtures were not built."""
    for found in arguments.values():
        if isinstance(found, Installation):
            return diagnosis(found.kubectl, found.namespace, found.decisions)
    if "cluster" in arguments and "namespace" in arguments:
        return diagnosis(arguments["cluster"], arguments["namespace"])
    return []
