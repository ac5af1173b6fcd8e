"""A Kubernetes control plane for this test session: processes on loopback at free ports, data in a temporary folder.

There is no kubelet: pods stay Pending. The binaries come from the folder in `KUBEBUILDER_ASSETS`; if it is not set,
they are built from `tools/cluster`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.kubernetes import Kubectl
from tests.support.servers import HOST, Server, free_port
from tests.support.toolchain import built
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
CRD = ROOT / "charts" / "agent-orchestrator" / "files" / "crds" / "agenttasks.yaml"
# Go's garbage collector takes a third of a busy API server's time; there is more memory here than there are cores.
SPARING = ("/usr/bin/env", "GOGC=400")
ASK_SECONDS = 5.0
READY_SECONDS = 60.0
SERVICE_RANGE = "10.97.0.0/16"
ISSUER = "https://kubernetes.default.svc"
OFF = ("nodeipam", "route", "cloud-node-lifecycle", "node-lifecycle-controller")


def find_binaries() -> Path:
    """Returns a folder with kube-apiserver, etcd, kubectl and others; builds it if it is missing. Raises NoGo."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(named) if named else built("cluster")


@dataclass(frozen=True)
class ControlPlane(Kubectl):
    """The kubectl of its administrator, whose token is `token`. Tests may stop, freeze and restart `servers`."""

    url: str
    token: str
    servers: Mapping[str, Server]

    def install_crd(self) -> None:
        self.run("apply", "--server-side", "-f", str(CRD))
        # kubectl fails at once as long as a new CRD has no conditions at all.
        wait_for(self._crd_is_established, what="the CRD")

    def _crd_is_established(self) -> bool:
        crd = "crd/agenttasks.agentorchestrator.dev"
        return self.run("wait", "--for=condition=Established", crd, "--timeout=5s", check=False).returncode == 0


@contextmanager
def running_control_plane(binaries: Path) -> Iterator[ControlPlane]:
    """Starts a control plane, and waits until the default namespace has its service account."""
    folder = Path(tempfile.mkdtemp(prefix="ao-cluster-"))
    token = secrets.token_hex(16)
    servers = _build(binaries, folder, token)
    url = servers["apiserver"].url.removesuffix("/readyz")
    plane = ControlPlane(binaries / "kubectl", folder / "kubeconfig", url, token, servers)
    try:
        for server in servers.values():
            server.start()
        _wait_for_service_account(plane)
        yield plane
    finally:
        for server in reversed(servers.values()):
            server.stop(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _build(binaries: Path, folder: Path, token: str) -> dict[str, Server]:
    client_url, peer_url = (f"http://{HOST}:{free_port()}" for _ in range(2))
    api_port = free_port()
    api_url = f"https://{HOST}:{api_port}"
    folders = {name: folder / name for name in ("etcd", "apiserver", "controller-manager", "scheduler")}
    for own in folders.values():
        own.mkdir()
    key = folder / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)  # noqa: S603, S607  fixed
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(kubeconfig_for(api_url, token)))
    commands: dict[str, Sequence[str]] = {
        "etcd": [
            "etcd",
            "--unsafe-no-fsync",
            f"--data-dir={folders['etcd'] / 'data'}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
        ],
        "apiserver": [
            "kube-apiserver",
            f"--etcd-servers={client_url}",
            f"--secure-port={api_port}",
            f"--bind-address={HOST}",
            f"--cert-dir={folders['apiserver']}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--service-account-issuer={ISSUER}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
        ],
        "controller-manager": [
            "kube-controller-manager",
            f"--kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={key}",
            "--leader-elect=false",
            f"--secure-port={free_port()}",
            f"--bind-address={HOST}",
            f"--cert-dir={folders['controller-manager']}",
            "--controllers=*," + ",".join(f"-{name}" for name in OFF),
        ],
        "scheduler": [
            "kube-scheduler",
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=false",
            f"--secure-port={free_port()}",
            f"--bind-address={HOST}",
            f"--cert-dir={folders['scheduler']}",
        ],
    }
    urls = {"etcd": f"{client_url}/health", "apiserver": f"{api_url}/readyz"}
    return {
        name: Server([*SPARING, str(binaries / command[0]), *command[1:]], folders[name], urls.get(name, ""), _answers)
        for name, command in commands.items()
    }


def kubeconfig_for(url: str, token: str) -> dict[str, Any]:
    """Returns a kubeconfig for a user with a token; it accepts the self-signed certificate of the API server."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
        "current-context": "test",
    }


def _answers(url: str) -> bool:
    if not url:
        return True
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=ASK_SECONDS, context=trusting) as answer:  # noqa: S310  a URL of ours
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refusal:
        return refusal.code in (401, 403)
    except OSError:
        return False


def _wait_for_service_account(plane: ControlPlane) -> None:
    give_up_at = time.monotonic() + READY_SECONDS
    while plane.run("get", "serviceaccount", "default", check=False).returncode:
        if time.monotonic() > give_up_at:
            raise RuntimeError("the control plane has no default service account")
        time.sleep(0.1)
