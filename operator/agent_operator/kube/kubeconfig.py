"""The user of the kubeconfig, if the operator cannot authenticate as this user.

kopf reads tokens, passwords and client certificates. It ignores everything else, and every request would then be
anonymous. Programs that get credentials (`exec`, as in the kubeconfigs of EKS, GKE and AKS) are not run: the operator
would have to trust, refresh and supervise whatever the file names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kopf
import yaml

from app.errors import ConfigurationError

UNUSED = {
    "exec": "from the program `{}`, which the operator does not run",
    "auth-provider": "from the plugin `{}`, which the operator does not have",
    "tokenFile": "from the file `{}`, which the operator does not read",
}
ADVICE = (
    "Name a kubeconfig whose user has a token, such as that of `kubectl create token SERVICEACCOUNT`, or a client "
    "certificate, or run the operator in the cluster."
)


def check_credentials(info: kopf.ConnectionInfo) -> None:
    """Checks that kopf has found the credentials of the kubeconfig's user.

    Raises ConfigurationError if the user has some, and kopf cannot use them.
    """
    if info.token or info.username or info.certificate_path or info.certificate_data:
        return
    name, user = _current_user()
    for kind, text in UNUSED.items():
        if user.get(kind):
            source = text.format(_named(user[kind]))
            raise ConfigurationError(f"KUBECONFIG: the user {name} gets its credentials {source}. {ADVICE}")


def _named(value: Any) -> str:
    return str(value.get("command") or value.get("name")) if isinstance(value, Mapping) else str(value)


def _current_user() -> tuple[str, Mapping[str, Any]]:
    """Finds the user of the current context as kopf does: the first of several files wins."""
    contexts: dict[str, Any] = {}
    users: dict[str, Any] = {}
    current = None
    for path in filter(None, (os.environ.get("KUBECONFIG") or "~/.kube/config").split(os.pathsep)):
        document = yaml.safe_load(Path(path.strip()).expanduser().read_text()) or {}
        current = current or document.get("current-context")
        contexts = {item["name"]: item.get("context") or {} for item in document.get("contexts", ())} | contexts
        users = {item["name"]: item.get("user") or {} for item in document.get("users", ())} | users
    name = str(contexts[str(current)]["user"])
    return name, users[name]
