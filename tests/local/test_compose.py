"""compose.yaml and its variant, read by the library of Compose without a Docker engine."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from app.settings.catalogue import SETTINGS
from tests.e2e.provider import ROOT
from tests.support.toolchain import built_or_skipped

FILES = {"simulated": ("compose.yaml",), "models": ("compose.yaml", "compose.models.yaml")}
OURS = ("api", "worker", "simulator")
Project = dict[str, Any]


@pytest.fixture(scope="module")
def program() -> str:
    return str(built_or_skipped("compose") / "compose")


def project(program: str, *arguments: str) -> Project:
    """Returns the project of these files, with the defaults of all variables."""
    done = subprocess.run(  # noqa: S603  Compose's library, with arguments of this test
        [program, "-format", "json", *arguments],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: Project = json.loads(done.stdout)
    return found


def environment(found: Project, service: str) -> dict[str, str]:
    """Returns the variables of a service; the library prints merged variables as a list."""
    variables = found["services"][service]["environment"]
    return dict(text.split("=", 1) for text in variables) if isinstance(variables, list) else variables


@pytest.mark.parametrize("file", ["compose.yaml", "compose.models.yaml"])
def test_files_follow_the_schema(file: str) -> None:
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", "vendor.compose-spec", str(ROOT / file)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_every_variable_is_a_setting(program: str, files: tuple[str, ...]) -> None:
    found = project(program, *files)
    named = {*environment(found, "api"), *environment(found, "worker")}
    assert named - set(SETTINGS) == set()


def test_without_keys_a_simulator_answers(program: str) -> None:
    found = project(program, *FILES["simulated"])
    assert environment(found, "worker")["OPENAI_BASE_URL"] == "http://simulator:8099/v1"
    assert environment(found, "worker")["OPENAI_API_KEY"] == "simulated"
    assert "profiles" not in found["services"]["simulator"]


def test_with_keys_the_providers_answer(program: str) -> None:
    found = project(program, "-no-interpolation", *FILES["models"])
    variables = environment(found, "worker")
    names = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "TAVILY_API_KEY", "TAVILY_BASE_URL")
    assert {name: variables[name] for name in names} == {name: f"${{{name}:-}}" for name in names}
    assert found["services"]["simulator"]["profiles"] == ["simulator"]


def test_every_service_has_a_health_check(program: str) -> None:
    for name, service in project(program, *FILES["simulated"])["services"].items():
        check = service["healthcheck"]
        assert (check["interval"], check["timeout"], check["retries"]) == ("30s", "10s", 3), name


def test_a_worker_has_its_own_health_check_and_the_deadline_of_a_task(program: str) -> None:
    worker = project(program, *FILES["simulated"])["services"]["worker"]
    assert "127.0.0.1:9100" in worker["healthcheck"]["test"][-1]
    assert worker["environment"]["AGENT_WORKER_GRACE_SECONDS"] == worker["environment"]["AGENT_TASK_DEADLINE_SECONDS"]
    grace = int(worker["stop_grace_period"].removesuffix("s"))
    assert grace > int(worker["environment"]["AGENT_WORKER_GRACE_SECONDS"])


def test_our_containers_have_no_rights_and_only_this_machine_reaches_the_api(program: str) -> None:
    services = project(program, *FILES["simulated"])["services"]
    for name in OURS:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert list(published) == ["api"]
    assert [port["host_ip"] for port in published["api"]] == ["127.0.0.1"]
