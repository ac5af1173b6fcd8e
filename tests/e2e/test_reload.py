"""The development image: a changed file in the container, as skaffold copies it, restarts the process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.chart.rendering import over
from tests.e2e.installation import Installation, installed
from tests.e2e.load import TEXT
from tests.e2e.provider import DOCKERFILES, ROOT, TAG, Provider
from tests.support.kubernetes import Kubectl
from tests.support.waiting import wait_for

OWNER = 10001  # of the source in that image
IMAGE = f"agent-orchestrator-api-dev:{TAG}"


@pytest.fixture(scope="module")
def installation(provider: Provider, cluster: Kubectl) -> Iterator[Installation]:
    arguments = ("--build-arg", "COMPONENT=api", "--build-arg", "MODULE=app.main")
    provider.image(IMAGE, ROOT, DOCKERFILES["api"], "dev", *arguments)
    writable = yaml.safe_load((ROOT / "k8s" / "kind" / "reload-values.yaml").read_text())
    values = {"images": {"references": {"api": IMAGE}}, "podSecurityContext": {"runAsUser": OWNER}}
    with installed(cluster, "reload", over(writable, values)) as one:
        yield one


def test_a_changed_file_in_the_container_restarts_the_process(installation: Installation) -> None:
    (pod,) = installation.ready("api")

    def starts() -> int:
        return sum(line["message"] == "api_started" for line in installation.logged(pod))

    wait_for(lambda: starts() >= 1, what="its first start")
    installation.kubectl.run(
        "cp", str(ROOT / "app" / "system_clock.py"), f"{installation.namespace}/{pod}:/src/app/system_clock.py"
    )  # fmt: skip
    wait_for(lambda: starts() >= 2, what="its second start")
    wait_for(lambda: installation.ready("api") == [pod], what="the API")
    installation.create("anew", TEXT.format(number=1))
    installation.reckon(["anew"])
    assert installation.restarts() == {}
