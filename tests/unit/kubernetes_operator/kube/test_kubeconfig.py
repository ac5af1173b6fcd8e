"""Kubeconfigs whose credentials the operator cannot use: it must not go on without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_operator.agenttasks.watch import watch_settings
from agent_operator.kube import access
from agent_operator.kube.access import ClusterAccess
from app.errors import ConfigurationError
from tests.support.doubles import ManualClock

EKS = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws", "args": ["eks", "get-token"]}}


@pytest.fixture(autouse=True)
def outside_of_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(access, "SERVICE_ACCOUNT", tmp_path / "none")
    monkeypatch.setenv("HOME", str(tmp_path))


def write(path: Path, user: dict[str, Any], *, name: str = "me", context: str | None = "here") -> Path:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443"}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "me"}}],
        **({} if context is None else {"current-context": context}),
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (EKS, "the program `aws`, which the operator does not run"),
        ({"exec": {"command": "gke-gcloud-auth-plugin"}}, "`gke-gcloud-auth-plugin`"),
        ({"auth-provider": {"name": "oidc", "config": {}}}, "the plugin `oidc`"),
        ({"tokenFile": "/run/token"}, "the file `/run/token`"),
    ],
)
def test_credentials_that_cannot_be_used_are_refused_by_the_name_of_their_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: dict[str, Any], words: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "config", user)))

    with pytest.raises(ConfigurationError) as refusal:
        ClusterAccess(watch_settings(), ManualClock())

    text = str(refusal.value)
    assert text.startswith("KUBECONFIG: the user me gets its credentials from ")
    assert words in text
    assert "kubectl create token" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "user", [{"token": "t"}, {"token": "t", **EKS}, {"client-certificate": "/c", "client-key": "/k"}, {}]
)
def test_other_users_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: dict[str, Any]) -> None:
    """One without any credentials is for a proxy that adds them, such as `kubectl proxy`."""
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "config", user)))

    assert ClusterAccess(watch_settings(), ManualClock()).server == "https://127.0.0.1:6443"


def test_the_user_of_the_first_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "first", {}, name="other", context=None)
    second, third = write(tmp_path / "second", EKS), write(tmp_path / "third", {"token": "t"})
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}:{third}")

    with pytest.raises(ConfigurationError, match="the user me gets"):
        ClusterAccess(watch_settings(), ManualClock())


def test_the_file_in_the_home_directory_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "")
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", EKS)

    with pytest.raises(ConfigurationError, match="aws"):
        ClusterAccess(watch_settings(), ManualClock())
