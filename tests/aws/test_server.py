"""The script of a server's first start, with stand-ins for the programs that it calls."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.aws.template import user_data
from tests.support.stand_ins import Machine

SHELLCHECK = str(Path(sys.executable).with_name("shellcheck"))
MOST_BYTES = 16_384
VALUES = {
    "Environment": "prod",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
    "GithubRepository": "owner/name",
    "ServerAddress": "203.0.113.9",
}
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
PINNED = (
    "helm-v4.3.0-linux-amd64.tar.gz",
    "cosign-linux-amd64",
    "ecr-credential-provider-linux-amd64",
    "k3s",
    "install.sh",
)
# Copies the file that is named like the last part of the address from the test's downloads, and fails if there is none.
CURL = """#!/bin/sh
echo "curl $*" >>"$TEST_CALLS"
while [ $# -gt 1 ]; do [ "$1" != --output ] || out=$2; shift; done
cp "$TEST_DOWNLOADS/$(basename "$1")" "$out"
"""


class NewServer(Machine):
    """A new server with nothing installed except the Ubuntu image."""

    @property
    def setup(self) -> Path:
        return self.root / "usr" / "local" / "sbin" / "agent-orchestrator-setup"

    def start(self) -> subprocess.CompletedProcess[str]:
        """Runs the user data as cloud-init does."""
        script = self.folder / "user-data"
        script.write_text(user_data(VALUES))
        return self.run(["/bin/sh", str(script)])

    def set_up(self) -> subprocess.CompletedProcess[str]:
        """Runs the setup script as systemd does."""
        return self.run([str(self.setup)], TEST_DOWNLOADS=str(self.folder / "downloads"))

    def offer(self, name: str, content: bytes) -> None:
        (self.folder / "downloads" / name).write_bytes(content)

    def expect_what_is_offered(self) -> None:
        """Replaces the checksums of the real programs by those of the stand-ins."""
        text = self.setup.read_text()
        for file in (self.folder / "downloads").iterdir():
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            text = re.sub(rf"(/{re.escape(file.name)} (?:\\\n)?\s*)[0-9a-f]{{64}}", rf"\g<1>{digest}", text)
        self.setup.write_text(text)


@pytest.fixture
def server(tmp_path: Path) -> NewServer:
    server = NewServer(tmp_path)
    for folder in ("downloads", "root/var/lib/cloud/data"):
        (tmp_path / folder).mkdir(parents=True)
    (server.root / "var" / "lib" / "cloud" / "data" / "instance-id").write_text("i-0123456789abcdef0\n")
    for program in ("apt-get", "dpkg", "ruby", "systemctl"):
        server.stand_in(program)
    server.stand_in("curl", CURL)
    recorder = b'#!/bin/sh\necho "$(basename "$0") $*" >>"$TEST_CALLS"\n'
    for name in ("cosign-linux-amd64", "ecr-credential-provider-linux-amd64", "k3s"):
        server.offer(name, recorder)
    server.offer("install.sh", b'echo "k3s-install skip=$INSTALL_K3S_SKIP_DOWNLOAD $*" >>"$TEST_CALLS"\n')
    for name in ("fluentbit.key", "amazon-cloudwatch-agent.deb", "install"):
        server.offer(name, b"")
    (tmp_path / "helm").write_bytes(recorder)
    with tarfile.open(tmp_path / "downloads" / "helm-v4.3.0-linux-amd64.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "helm", "linux-amd64/helm")
    return server


def prepared(server: NewServer) -> NewServer:
    started = server.start()
    assert started.returncode == 0, started.stderr
    server.expect_what_is_offered()
    return server


def test_it_is_small_enough_and_shellcheck_finds_nothing(server: NewServer) -> None:
    assert len(user_data(VALUES).encode()) < MOST_BYTES
    assert server.start().returncode == 0
    for script in (server.folder / "user-data", server.setup):
        found = subprocess.run(  # noqa: S603  shellcheck, on a script of this repository
            [SHELLCHECK, "--exclude=SC1090,SC1091", str(script)], capture_output=True, text=True, check=False
        )
        assert found.stdout == ""


def test_the_first_start_writes_the_environment_and_starts_the_setup(server: NewServer) -> None:
    assert server.start().returncode == 0
    environment = (server.root / "etc" / "agent-orchestrator" / "environment").read_text()
    assert dict(line.split("=", 1) for line in environment.splitlines()) == {
        "ENVIRONMENT": "prod",
        "AWS_REGION": "eu-central-1",
        "GITHUB_REPOSITORY": "owner/name",
        "REGISTRY": REGISTRY,
        "PUBLIC_ADDRESS": "203.0.113.9",
    }
    assert server.calls[-1] == "systemctl start --no-block agent-orchestrator-setup.service"
    unit = (server.root / "etc" / "systemd" / "system" / "agent-orchestrator-setup.service").read_text()
    assert "Restart=on-failure" in unit
    assert f"ConditionPathExists=!/{(state(server) / 'installed').relative_to(server.root)}" in unit


def state(server: NewServer) -> Path:
    return server.root / "var" / "lib" / "agent-orchestrator"


def test_everything_is_installed_before_revisions_are_rolled_out(server: NewServer) -> None:
    done = prepared(server).set_up()
    assert done.returncode == 0, done.stderr
    for program in ("helm", "cosign", "k3s"):
        assert os.access(server.root / "usr" / "local" / "bin" / program, os.X_OK)
    calls = [call for call in server.calls if not call.startswith("curl")]
    assert calls[2:] == [
        "k3s-install skip=true server",
        "k3s kubectl wait --for=create node/i-0123456789abcdef0 --timeout=300s",
        "k3s kubectl wait --for=condition=Ready node/i-0123456789abcdef0 --timeout=300s",
        f"dpkg --install {state(server)}/amazon-cloudwatch-agent.deb",
        f"ruby {state(server)}/codedeploy-install auto",
        "systemctl enable --now codedeploy-agent",
    ]
    (packages,) = [call for call in calls if " install --yes " in call]
    assert {"amazon-ecr-credential-helper", "fluent-bit", "python3-venv", "ruby-full"} <= set(packages.split())
    assert (state(server) / "installed").exists()


def test_the_registry_credentials_come_from_the_role_of_the_server(server: NewServer) -> None:
    assert prepared(server).set_up().returncode == 0
    docker = json.loads((server.root / "etc" / "agent-orchestrator" / "docker" / "config.json").read_text())
    assert docker == {"credHelpers": {REGISTRY: "ecr-login"}}
    folder = server.root / "var" / "lib" / "rancher" / "credentialprovider"
    (provider,) = yaml.safe_load((folder / "config.yaml").read_text())["providers"]
    assert provider["matchImages"] == [REGISTRY]
    assert os.access(folder / "bin" / provider["name"], os.X_OK), "the kubelet finds it by its name"


def test_k3s_has_etcd_a_node_name_and_a_restricted_namespace(server: NewServer) -> None:
    assert prepared(server).set_up().returncode == 0
    configuration = yaml.safe_load((server.root / "etc" / "rancher" / "k3s" / "config.yaml").read_text())
    assert configuration == {
        "cluster-init": True,
        "secrets-encryption": True,
        "write-kubeconfig-mode": "0600",
        "node-name": "i-0123456789abcdef0",
        "tls-san": ["203.0.113.9"],
        "etcd-snapshot-retention": 14,
    }
    manifests = server.root / "var" / "lib" / "rancher" / "k3s" / "server" / "manifests"
    namespace = yaml.safe_load((manifests / "agent-orchestrator.yaml").read_text())
    assert namespace["metadata"]["name"] == "agent-orchestrator"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", PINNED)
def test_a_file_with_another_checksum_is_not_installed(server: NewServer, name: str) -> None:
    prepared(server).offer(name, b"something else")
    done = server.set_up()
    assert done.returncode == 1
    assert f"/{name} gives is not what was expected: its SHA-256 is another" in done.stderr
    assert not (state(server) / "installed").exists()
    assert not any("codedeploy" in call for call in server.calls), "nothing is rolled out to an incomplete server"


def test_the_setup_is_tried_again_and_does_not_fetch_a_file_twice(server: NewServer) -> None:
    prepared(server).answer("dpkg", "exit 1\n")
    assert server.set_up().returncode == 1
    assert not (state(server) / "installed").exists()
    server.answer("dpkg", "")
    shutil.rmtree(server.root / "usr" / "local" / "bin")
    assert server.set_up().returncode == 0
    fetched = [call.rpartition("/")[2] for call in server.calls if call.startswith("curl")]
    assert fetched == ["fluentbit.key", "amazon-cloudwatch-agent.deb", "install"]
    assert (server.root / "usr" / "local" / "bin" / "k3s").exists()
