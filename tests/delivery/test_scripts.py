"""The scripts that CodeDeploy and the timer run on the server, with stand-ins for the programs that they call."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support.stand_ins import Machine

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
SHELLCHECK = str(Path(sys.executable).with_name("shellcheck"))
SECRET = "mongodb://user:very-secret@db/"


class Host(Machine):
    """A server with a revision."""

    @property
    def revision(self) -> Path:
        """The folder into which CodeDeploy has copied the revision."""
        return self.folder / "archive"

    @property
    def etc(self) -> Path:
        return self.root / "etc" / "agent-orchestrator"

    @property
    def home(self) -> Path:
        return self.root / "opt" / "agent-orchestrator"

    @property
    def units(self) -> Path:
        return self.root / "etc" / "systemd" / "system"

    def cli(self) -> Path:
        """Returns the folder of the command line, as the scripts compute it."""
        asked = '. "$0"; echo "$cli"'
        script = str(self.revision / "scripts" / "server.sh")
        done = subprocess.run(  # noqa: S603  a script of this repository
            ["/bin/sh", "-c", asked, script],
            env={"AGENT_ROOT": str(self.root), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return Path(done.stdout.strip())

    def hook(self, script: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs a script of the revision."""
        return self.run([str(self.revision / "scripts" / script)], **settings)

    def verbs(self) -> list[str]:
        """The first two words of each call."""
        return [" ".join(call.split()[:2]) for call in self.calls]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    for folder in (host.etc, host.home, host.units, host.revision):
        folder.mkdir(parents=True)
    shutil.copytree(SCRIPTS, host.revision / "scripts")
    for part in ("systemd", "fluent-bit", "cloudwatch-agent"):
        shutil.copytree(ROOT / "k8s" / "k3s" / part, host.revision / part)
    digest = f"sha256:{'0' * 64}"
    references = {
        part: f"registry.example.com/agent-orchestrator-{part}@{digest}" for part in ("api", "worker", "operator")
    }
    (host.revision / "images.yaml").write_text(yaml.safe_dump({"images": {"references": references}}))
    for name in ("deploy.lock", "agent_orchestrator-1-py3-none-any.whl", "chart.tgz", "commit"):
        (host.revision / name).write_text("")
    environment = "ENVIRONMENT=prod\nAWS_REGION=eu-central-1\nGITHUB_REPOSITORY=owner/name\n"
    (host.etc / "environment").write_text(environment)
    for program in ("helm", "cosign", "docker-credential-ecr-login", "systemctl"):
        host.stand_in(program)
    host.stand_in(host.cli() / "bin" / "agent-orchestrator")
    host.stand_in(host.root / "opt" / "fluent-bit" / "bin" / "fluent-bit")
    host.stand_in(host.root / "opt" / "aws" / "amazon-cloudwatch-agent" / "bin" / "amazon-cloudwatch-agent-ctl")
    (host.cli() / "complete").touch()
    rendered = f"""case "$*" in *--versions*) echo "/p/MONGO_URI 1" ;; *) echo '{{"secret": "{SECRET}"}}' ;; esac\n"""
    host.answer("agent-orchestrator", rendered)
    host.answer("helm-history", """echo '[{"revision":7,"status":"deployed"}]'\n""")
    return host


def test_shellcheck_finds_nothing() -> None:
    written = [
        found for pattern in ("scripts/*.sh", "tools/**/*.sh", "tests/e2e/kind/*.sh") for found in ROOT.glob(pattern)
    ]
    assert len(written) > 10
    found = subprocess.run(  # noqa: S603  shellcheck, on files of this repository
        [SHELLCHECK, "--external-sources", "--source-path=SCRIPTDIR", *map(str, written), ".ci/run", ".ci/setup"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == ""
    assert found.returncode == 0


def test_appspec_names_executable_scripts() -> None:
    hooks = yaml.safe_load((ROOT / "appspec.yml").read_text())["hooks"]
    assert set(hooks) == {"BeforeInstall", "ApplicationStop", "ApplicationStart"}
    for (hook,) in hooks.values():
        assert os.access(ROOT / hook["location"], os.X_OK)


def test_a_rollout_passes_parameters_to_helm_without_showing_them(host: Host) -> None:
    done = host.hook("start_application.sh")
    assert done.returncode == 0, done.stderr
    assert host.verbs() == [
        "helm history", "helm status", "agent-orchestrator ssm-render", "agent-orchestrator ssm-render", "helm upgrade",
        "helm test", "systemctl daemon-reload", "systemctl enable",
    ]  # fmt: skip
    assert (host.folder / "input").read_text() == f'{{"secret": "{SECRET}"}}'
    assert "very-secret" not in "".join(host.calls) + done.stdout + done.stderr
    (upgrade,) = [call for call in host.calls if call.startswith("helm upgrade")]
    assert "--rollback-on-failure" in upgrade
    assert f"--values {host.revision}/images.yaml --values -" in upgrade
    assert (host.home / "current" / "chart.tgz").exists()
    assert (host.units / "agent-orchestrator-parameters.timer").exists()


def test_values_of_the_server_come_before_those_of_the_revision(host: Host) -> None:
    own = host.etc / "values.yaml"
    own.write_text("{}")
    host.hook("start_application.sh")
    (upgrade,) = [call for call in host.calls if call.startswith("helm upgrade")]
    assert upgrade.index(f"--values {own}") < upgrade.index("images.yaml")


def test_parameters_that_cannot_be_read_roll_nothing_out(host: Host) -> None:
    host.answer("agent-orchestrator", "echo 'AWS refused' >&2; exit 1\n")
    done = host.hook("start_application.sh")
    assert done.returncode != 0
    assert "AWS refused" in done.stderr
    assert not any(call.startswith("helm upgrade") for call in host.calls)


def test_an_upgrade_that_fails_fails_the_deployment(host: Host) -> None:
    host.answer("helm-upgrade", "exit 1\n")
    done = host.hook("start_application.sh")
    assert done.returncode != 0
    assert host.verbs()[-1] == "helm upgrade"
    assert not (host.home / "current").exists(), "the timer continues with the previous revision"


def test_a_release_that_completes_no_task_is_rolled_back(host: Host) -> None:
    host.answer("helm-test", "exit 1\n")
    done = host.hook("start_application.sh")
    assert done.returncode == 1
    assert "rolled back to revision 7" in done.stderr
    assert host.calls[-1].startswith("helm rollback ao 7 ")


def test_a_rollback_skips_failed_revisions(host: Host) -> None:
    revisions = '[{"revision":7,"status":"deployed"},{"revision":8,"status":"failed"}]'
    host.answer("helm-history", f"echo '{revisions}'\n")
    host.answer("helm-test", "exit 1\n")
    assert "rolled back to revision 7" in host.hook("start_application.sh").stderr


def test_an_unreachable_cluster_is_not_treated_as_an_empty_one(host: Host) -> None:
    host.answer("helm-history", "echo 'Kubernetes cluster unreachable' >&2; exit 1\n")
    done = host.hook("start_application.sh")
    assert done.returncode == 1
    assert "Kubernetes cluster unreachable" in done.stderr
    assert not any(call.startswith("helm upgrade") for call in host.calls)


@pytest.mark.parametrize(
    ("status", "repaired"), [("pending-upgrade", "helm rollback ao 7"), ("pending-install", "helm uninstall ao")]
)
def test_the_pending_status_of_an_interrupted_helm_is_repaired_first(host: Host, status: str, repaired: str) -> None:
    host.answer("helm-status", f"""echo '{{"info":{{"status":"{status}"}}}}'\n""")
    assert host.hook("start_application.sh").returncode == 0
    calls = [call for call in host.calls if call.startswith(("helm rollback", "helm uninstall", "helm upgrade"))]
    assert calls[0].startswith(repaired)
    assert all("--force-conflicts" in call for call in calls if "uninstall" not in call), (
        "a field with another owner blocks nothing"
    )
    assert calls[1].startswith("helm upgrade")


def test_a_rollout_ends_before_the_timeouts_of_codedeploy_and_systemd() -> None:
    script = (SCRIPTS / "server.sh").read_text()
    (helm_minutes,) = map(int, re.findall(r"helm_timeout=(\d+)m", script))
    (lock_seconds,) = map(int, re.findall(r"LOCK_SECONDS:-(\d+)", script))
    longest = lock_seconds + 60 * (3 * helm_minutes + 5)
    unit = (ROOT / "k8s" / "k3s" / "systemd" / "agent-orchestrator-parameters.service").read_text()
    (start_seconds,) = map(int, re.findall(r"TimeoutStartSec=(\d+)", unit))
    (start,) = yaml.safe_load((ROOT / "appspec.yml").read_text())["hooks"]["ApplicationStart"]
    assert longest < min(start_seconds, start["timeout"])


def test_a_failed_first_release_is_not_rolled_back(host: Host) -> None:
    host.answer("helm-history", "echo 'release: not found' >&2; exit 1\n")
    host.answer("helm-test", "exit 1\n")
    done = host.hook("start_application.sh")
    assert done.returncode == 1
    assert not any(call.startswith("helm rollback") for call in host.calls)


def test_only_one_rollout_runs_at_a_time(host: Host) -> None:
    holder = subprocess.Popen(  # noqa: S603  flock, on a file of this test
        ["/usr/bin/flock", str(host.home / "lock"), "sh", "-c", "echo held; read end"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        for script in ("before_install.sh", "start_application.sh"):
            done = host.hook(script, LOCK_SECONDS="1")
            assert done.returncode == 1
            assert "another rollout has not ended within 1 s" in done.stderr
        assert host.calls == []
    finally:
        holder.communicate(b"\n")


def test_parameters_are_rolled_out_when_a_version_changes_and_not_before(host: Host) -> None:
    assert host.hook("refresh_parameters.sh").returncode == 0
    assert "helm upgrade" in host.verbs()
    assert host.hook("refresh_parameters.sh").returncode == 0
    assert host.verbs() == ["agent-orchestrator ssm-render"]
    host.answer("agent-orchestrator", 'echo "/p/MONGO_URI 2"\n')
    host.answer("helm-upgrade", "exit 1\n")
    assert host.hook("refresh_parameters.sh").returncode != 0
    assert "helm upgrade" in host.verbs()
    assert host.hook("refresh_parameters.sh").returncode == 0
    assert host.verbs() == ["agent-orchestrator ssm-render"], "the same parameters would fail again"


def test_an_image_without_a_signature_of_the_workflow_is_refused(host: Host) -> None:
    host.answer("cosign", 'case "$*" in *worker@*) exit 1 ;; esac\n')
    done = host.hook("before_install.sh")
    assert done.returncode == 1
    assert "worker@sha256:" in done.stderr
    assert "release.yml of owner/name must have signed it for this commit" in done.stderr
    identity = "https://github.com/owner/name/.github/workflows/release.yml@refs/heads/main"
    assert all(f"--certificate-identity {identity} " in call for call in host.calls)


def test_images_without_digests_are_refused(host: Host) -> None:
    (host.revision / "images.yaml").write_text("images:\n  references:\n    api: registry.example.com/api:1\n")
    done = host.hook("before_install.sh")
    assert done.returncode == 1
    assert "does not name the image api by its digest" in done.stderr


def test_an_image_of_another_component_is_refused(host: Host) -> None:
    text = (host.revision / "images.yaml").read_text()
    (host.revision / "images.yaml").write_text(text.replace("agent-orchestrator-worker@", "agent-orchestrator-api@"))
    done = host.hook("before_install.sh")
    assert done.returncode == 1
    assert "does not name the image worker by its digest" in done.stderr


def test_the_command_line_of_the_revision_is_installed_at_its_final_path(host: Host) -> None:
    """Uses a real virtual environment, because pip writes its path into the files."""
    shutil.rmtree(host.cli())
    wheel(host.revision)
    before = host.hook("before_install.sh")
    assert before.returncode == 0, before.stderr
    host.answer("helm-history", "echo '[]'\n")
    started = host.hook("start_application.sh")
    assert started.returncode == 0, started.stderr
    assert (host.folder / "input").read_text() == "rendered"


def wheel(folder: Path) -> None:
    """Writes a package with a command of the product's name that prints `rendered`."""
    (folder / "agent_orchestrator-1-py3-none-any.whl").unlink()
    information = "agent_orchestrator-1.dist-info"
    with zipfile.ZipFile(folder / "agent_orchestrator-1-py3-none-any.whl", "w") as packed:
        packed.writestr("stand_in.py", "def main():\n    print('rendered', end='')\n")
        packed.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: agent-orchestrator\nVersion: 1\n")
        packed.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{information}/entry_points.txt", "[console_scripts]\nagent-orchestrator = stand_in:main\n")
        packed.writestr(f"{information}/RECORD", "")


def test_an_incomplete_command_line_is_not_used(host: Host) -> None:
    (host.cli() / "complete").unlink()
    done = host.hook("start_application.sh")
    assert done.returncode != 0
    assert "is not installed; run before_install.sh" in done.stderr


def test_a_revision_installs_the_configuration_of_the_servers_agents(host: Host) -> None:
    assert host.hook("before_install.sh").returncode == 0
    restarts = [call for call in host.calls if call.startswith("systemctl restart")]
    assert restarts == ["systemctl restart fluent-bit", "systemctl restart amazon-cloudwatch-agent"]
    agent = host.root / "opt" / "aws" / "amazon-cloudwatch-agent" / "etc"
    read = {
        host.root / "etc" / "fluent-bit" / "agent-orchestrator.yaml": "fluent-bit/fluent-bit.yaml",
        host.units / "fluent-bit.service.d" / "agent-orchestrator.conf": "fluent-bit/service.conf",
        agent / "agent-orchestrator-prometheus.yaml": "cloudwatch-agent/prometheus.yaml",
        agent / "amazon-cloudwatch-agent.d" / "agent-orchestrator.json": "cloudwatch-agent/agent-orchestrator.json",
    }
    for target, source in read.items():
        assert target.read_text() == (ROOT / "k8s" / "k3s" / source).read_text()

    assert host.hook("before_install.sh").returncode == 0
    assert not any(call.startswith("systemctl restart") for call in host.calls), "nothing has changed"

    (host.revision / "fluent-bit" / "fluent-bit.yaml").write_text("service: {flush: 1}\n")
    host.answer("systemctl-restart", "exit 1\n")
    assert host.hook("before_install.sh").returncode == 1, "the service cannot use its configuration"
    host.answer("systemctl-restart", "")
    host.answer("systemctl-is-active", 'case "$*" in *amazon*) exit 3 ;; esac\n')
    assert host.hook("before_install.sh").returncode == 0
    restarts = [call for call in host.calls if call.startswith("systemctl restart")]
    assert restarts == ["systemctl restart fluent-bit", "systemctl restart amazon-cloudwatch-agent"], (
        "one has a changed configuration, the other did not run"
    )


@pytest.mark.parametrize("missing", ["helm", "cosign", "fluent-bit", "amazon-cloudwatch-agent-ctl"])
def test_a_missing_program_is_named(host: Host, missing: str) -> None:
    (program,) = host.folder.rglob(f"bin/{missing}")
    program.unlink()
    done = host.hook("before_install.sh", PATH=f"{host.folder / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 1
    assert f"{missing} is not installed" in done.stderr


def test_a_server_without_its_environment_is_refused(host: Host) -> None:
    (host.etc / "environment").write_text("AWS_REGION=eu-central-1\n")
    done = host.hook("start_application.sh")
    assert done.returncode != 0
    assert "ENVIRONMENT: is not set in" in done.stderr
    (host.etc / "environment").unlink()
    assert "does not exist; create it with ENVIRONMENT" in host.hook("start_application.sh").stderr
