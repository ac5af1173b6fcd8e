"""The provider of the cluster: a folder with `up.sh`, `image.sh` and `down.sh`, named by `E2E_CLUSTER`.

`up.sh` starts the cluster if it does not run yet, and prints `KUBECONFIG=<path>` last. `image.sh NAME:TAG CONTEXT
DOCKERFILE [--target NAME] [--build-arg NAME=VALUE]` builds an image and loads it into the cluster. `down.sh` deletes
the cluster.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.kubernetes import Kubectl
from tests.support.toolchain import built

ROOT = Path(__file__).parents[2]
KIND = Path(__file__).parent / "kind"
TAG = "e2e"
DOCKERFILES = dict.fromkeys(("api", "worker", "operator"), ROOT / "Dockerfile") | {
    component: Path(__file__).parent / "stores" / "Dockerfile" for component in ("mongodb", "valkey")
}
UP_SECONDS = 1_800
IMAGE_SECONDS = 1_200


class NoProvider(Exception):
    """No cluster is available; the message gives the reason and the remedy."""


@dataclass(frozen=True)
class Provider:
    folder: Path

    def up(self) -> Path:
        """Starts the cluster, and returns the kubeconfig of its administrator."""
        printed = self._call("up.sh", seconds=UP_SECONDS)
        found = [line.removeprefix("KUBECONFIG=") for line in printed.splitlines() if line.startswith("KUBECONFIG=")]
        if not found:
            raise RuntimeError(f"{self.folder / 'up.sh'} does not print KUBECONFIG=…:\n{printed[-2000:]}")
        return Path(found[-1])

    def image(self, name: str, context: Path, dockerfile: Path, target: str, *options: str) -> None:
        arguments = (name, str(context), str(dockerfile), "--target", target, *options)
        self._call("image.sh", *arguments, seconds=IMAGE_SECONDS)

    def down(self) -> None:
        self._call("down.sh", seconds=UP_SECONDS)

    def _call(self, script: str, *arguments: str, seconds: float) -> str:
        """Runs the script and returns its output. Raises RuntimeError if it fails."""
        done = subprocess.run(  # noqa: S603  a script that the caller of the tests has named
            [str(self.folder / script), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )
        if done.returncode:
            raise RuntimeError(f"{script} {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-4000:]}")
        return done.stdout


def named_provider() -> Provider:
    """Returns the provider that `E2E_CLUSTER` names; the default is kind. Raises NoProvider."""
    if named := os.environ.get("E2E_CLUSTER"):
        return Provider(Path(named).resolve())
    if missing := [program for program in ("docker", "kind") if shutil.which(program) is None]:
        raise NoProvider(f"no cluster: install {' and '.join(missing)}, or name a provider's folder in E2E_CLUSTER")
    return Provider(KIND)


@contextmanager
def cluster_of(provider: Provider) -> Iterator[Kubectl]:
    """Starts the cluster and loads the images into it. With `E2E_KEEP=1` it keeps running at the end."""
    kubectl = built("cluster") / "kubectl"
    kubeconfig = provider.up()
    try:
        for component, dockerfile in DOCKERFILES.items():
            provider.image(f"agent-orchestrator-{component}:{TAG}", ROOT, dockerfile, component)
        yield Kubectl(kubectl, kubeconfig)
    finally:
        if os.environ.get("E2E_KEEP") != "1":
            provider.down()
