"""`agent-orchestrator ssm-render` against a stand-in for AWS, with the role of an instance."""

from __future__ import annotations

import os
import pty
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import CHART, NAME, helm
from tests.integration.cli.aws import Aws, running_aws
from tests.integration.cli.command import Shell
from tests.support.child_process import ended

PATH = "/agent-orchestrator-api/prod"
SECRET = "mongodb://user:very-secret@db/"


@pytest.fixture
def aws() -> Iterator[Aws]:
    with running_aws() as one:
        one.put(f"{PATH}/MONGO_URI", SECRET, secure=True)
        one.put(f"{PATH}/REDIS_URL", "rediss://:hidden@cache/", secure=True)
        yield one


@pytest.fixture
def shell(tmp_path: Path, aws: Aws) -> Shell:
    return Shell(tmp_path, aws.settings())


def test_parameters_reach_the_chart_by_the_role_of_the_instance(shell: Shell, aws: Aws) -> None:
    for number in range(25):  # a page has ten
        aws.put(f"{PATH}/PLUGIN_{number}", str(number))
    aws.put(f"{PATH}/OPENAI_API_KEY", "sk-hidden", secure=True)

    done = shell.run("ssm-render", "--path", PATH)

    assert done.returncode == 0, done.stderr
    values = yaml.safe_load(done.stdout)
    assert values["secrets"]["inline"]["stores"]["MONGO_URI"] == SECRET
    assert values["secrets"]["inline"]["providers"] == {"OPENAI_API_KEY": "sk-hidden"}
    assert len(values["env"]) == 25
    assert ("PUT", "/latest/api/token") in aws.asked
    assert aws.without_token == []
    pages = [path for method, path in aws.asked if (method, path) == ("POST", "/")]
    assert len(pages) == 3


def test_helm_reads_every_value_as_the_text_that_it_is(shell: Shell, aws: Aws) -> None:
    texts = {"A": "1234e5", "B": "90e12", "C": "0o17", "D": "+1e3", "E": "true", "F": "2026-01-01", "G": "=~"}
    for name, text in texts.items():
        aws.put(f"{PATH}/PLUGIN_{name}", text)
        aws.put(f"{PATH}/SECRET_{name}", text, secure=True)
    rendered = shell.ok("ssm-render", "--path", PATH)
    key = ("--set", "serviceKey.existingSecret=orchestrator-service-key")
    objects = [found for found in yaml.safe_load_all(helm("template", "ao", str(CHART), *key, stdin=rendered)) if found]
    (settings,) = [body["data"] for body in objects if body["kind"] == "ConfigMap"]
    (secret,) = [body["data"] for body in objects if body["metadata"]["name"] == f"{NAME}-worker" and "data" in body]
    assert {name: settings[f"PLUGIN_{name}"] for name in texts} == texts
    assert {name: b64decode(secret[f"SECRET_{name}"]).decode() for name in texts} == texts


def test_names_and_versions_are_told_and_no_value(shell: Shell, aws: Aws) -> None:
    aws.put(f"{PATH}/REDIS_URL", "rediss://:changed@cache/", secure=True)
    aws.put(f"{PATH}/PLUGIN_CITY", "Bremen")
    shown = shell.run("ssm-render", "--path", PATH).stderr
    assert f"{PATH}/REDIS_URL version 2, a secret" in shown
    assert f"{PATH}/PLUGIN_CITY version 1: PLUGIN_CITY is no setting of this version" in shown
    listed = shell.ok("ssm-render", "--path", f"{PATH}/", "--versions")
    assert listed.splitlines() == [f"{PATH}/MONGO_URI 1", f"{PATH}/PLUGIN_CITY 1", f"{PATH}/REDIS_URL 2"]
    assert not any(secret in shown + listed for secret in ("very-secret", "hidden", "changed", "Bremen"))


def test_throttled_calls_are_made_again(shell: Shell, aws: Aws) -> None:
    aws.refusals += ["ThrottlingException"] * 2
    assert yaml.safe_load(shell.ok("ssm-render", "--path", PATH))["secrets"]["mode"] == "inline"
    assert aws.refusals == []


def test_a_role_that_may_not_is_told_what_it_needs(shell: Shell, aws: Aws) -> None:
    aws.refusals.append("AccessDeniedException")
    done = shell.run("ssm-render", "--path", PATH)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the role needs ssm:GetParametersByPath on the path, and kms:Decrypt" in done.stderr


def test_a_wrong_path_renders_nothing(shell: Shell) -> None:
    done = shell.run("ssm-render", "--path", "/agent-orchestrator-api/production")
    assert (done.returncode, done.stdout) == (1, "")
    assert "There are no parameters under /agent-orchestrator-api/production" in done.stderr


def test_a_missing_parameter_renders_nothing(shell: Shell, aws: Aws) -> None:
    aws.put("/agent-orchestrator-api/dev/MONGO_URI", SECRET, secure=True)
    done = shell.run("ssm-render", "--path", "/agent-orchestrator-api/dev")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/agent-orchestrator-api/dev/REDIS_URL is missing" in done.stderr


def test_an_outage_of_aws_is_reported_without_a_traceback(tmp_path: Path) -> None:
    nobody = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "eu-west-1",
    }
    done = Shell(tmp_path, {**nobody, "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:9"}).run("ssm-render", "--path", PATH)
    assert done.returncode == 1
    assert "AWS could not be asked" in done.stderr
    assert "Traceback" not in done.stderr


def test_secrets_are_not_written_to_a_terminal(shell: Shell) -> None:
    leader, follower = pty.openpty()
    try:
        with ended(shell.start_on(follower, "ssm-render", "--path", PATH)) as process:
            os.close(follower)
            assert process.wait(timeout=60) == 1
            assert b"are for Helm, not for a terminal" in os.read(leader, 4096)
    finally:
        os.close(leader)
