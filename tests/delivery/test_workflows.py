"""The workflows, checked without running them, and the bundle that they build from a commit."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from tests.chart.rendering import KEY, helm
from tests.support.toolchain import built_or_skipped

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMMIT = "c" * 40
DIGEST = f"@sha256:{'0' * 64}"


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())["jobs"]
    return found


def test_actionlint_finds_nothing() -> None:
    program = built_or_skipped("actionlint") / "actionlint"
    done = subprocess.run(  # noqa: S603  actionlint, on files of this repository
        [str(program), *map(str, WORKFLOWS)], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


def test_dependabot_proposes_newer_actions() -> None:
    path = ROOT / ".github" / "dependabot.yml"
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", "vendor.dependabot", str(path)])
    assert done.exit_code == 0, done.output
    updates = yaml.safe_load(path.read_text())["updates"]
    assert [update["package-ecosystem"] for update in updates] == ["github-actions"]


def test_workflows_follow_the_schema() -> None:
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)])
    assert done.exit_code == 0, done.output


def test_actions_are_pinned_to_commits() -> None:
    named = [use for file in WORKFLOWS for use in re.findall(r"uses: ([^\s./]\S+)", file.read_text())]
    assert len(named) > 10
    assert [use for use in named if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", use)] == []


def test_each_action_has_one_version() -> None:
    named = {use for file in WORKFLOWS for use in re.findall(r"uses: ([^\s./]\S+)", file.read_text())}
    assert len({use.partition("@")[0] for use in named}) == len(named)


def test_nothing_is_rolled_out_before_every_check_has_passed() -> None:
    checks = jobs("ci.yml")
    assert set(checks["release"]["needs"]) == set(checks) - {"release"}
    assert "refs/heads/main" in checks["release"]["if"]


def test_a_rollout_is_from_the_main_branch_and_no_later_push_cancels_it() -> None:
    assert all("github.ref == 'refs/heads/main'" in job["if"] for job in jobs("release.yml").values())
    checks = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert checks["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"


def test_every_image_is_built_scanned_and_signed_by_its_digest() -> None:
    image = jobs("release.yml")["images"]
    assert image["strategy"]["matrix"]["component"] == ["api", "worker", "operator"]
    steps = [step.get("uses", step.get("run", "")).partition("@")[0] for step in image["steps"]]
    order = [
        next(number for number, step in enumerate(steps) if wanted in step)
        for wanted in ("build-push-action", "trivy-action", "cosign sign")
    ]
    assert order == sorted(order)
    (signing,) = [step for step in steps if "cosign sign" in step]
    assert signing.index("cosign sign") < image["steps"][order[-1]]["run"].index("imagetools create")
    (build,) = [step["with"] for step in image["steps"] if "build-push-action" in step.get("uses", "")]
    assert (build["provenance"], build["sbom"]) == ("mode=max", True)


def bundle(folder: Path, *images: str) -> subprocess.CompletedProcess[str]:
    search = f"{built_or_skipped('helm')}:{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(  # noqa: S603  a script of this repository
        [str(ROOT / "scripts" / "bundle.sh"), str(folder), COMMIT, *images],
        env={"PATH": search, "PIP_NO_BUILD_ISOLATION": "1", "HOME": str(folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_bundle_contains_the_files_that_the_scripts_on_the_server_need(tmp_path: Path) -> None:
    images = [f"registry.example.com/agent-orchestrator-{part}{DIGEST}" for part in ("api", "worker", "operator")]
    done = bundle(tmp_path, *images)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "revision.zip") as packed:
        names = set(packed.namelist())
        runnable = {info.filename for info in packed.infolist() if info.external_attr >> 16 & 0o111}
        packed.extractall(tmp_path / "there")
    assert {"appspec.yml", "chart.tgz", "images.yaml", "deploy.lock", "commit", "traefik.yaml"} <= names
    assert {"monitoring/prometheus.yaml", "fluent-bit/fluent-bit.yaml", "cloudwatch-agent/prometheus.yaml"} <= names
    assert any(name.endswith(".whl") for name in names)
    hooks = yaml.safe_load((tmp_path / "there" / "appspec.yml").read_text())["hooks"]
    assert {hook["location"] for (hook,) in hooks.values()} <= runnable
    stores = {"secrets": {"mode": "existing", "existing": {"stores": "s"}}, **KEY}
    chosen = ("--values", str(tmp_path / "there" / "images.yaml"))
    rendered = helm("template", "ao", str(tmp_path / "there" / "chart.tgz"), *chosen, values=stores)
    assert all(image in rendered for image in images)


def test_an_image_with_a_tag_is_not_packed(tmp_path: Path) -> None:
    done = bundle(tmp_path, f"api{DIGEST}", "worker:1", f"operator{DIGEST}")
    assert done.returncode == 1
    assert "worker:1 has no digest" in done.stderr
