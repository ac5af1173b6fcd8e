"""The state of an installation after a test has failed: decisions of the autoscaler, pods, and their last log lines.

It holds no text of a task and no secret. Decisions and pods are shown by their figures, names and reasons, and the log
lines of the product hold neither. Other lines, such as those of a traceback, are cut before anything they may quote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.support.kubernetes import Kubectl

DECISIONS = 10
LOG_LINES = 40
LINE_CHARACTERS = 500
COMPONENTS = ("operator", "api", "worker")
_COMPONENT = "app.kubernetes.io/component"
_IN_TIME = "--request-timeout=10s"  # a control plane that hangs must not hold up the report
_QUOTES_FOLLOW = re.compile(r"[:=\[{]")
Section = tuple[str, str]


def diagnosis(
    kubectl: Kubectl, namespace: str, decisions: Callable[[], Sequence[Mapping[str, Any]]] | None = None
) -> list[Section]:
    """Reads the state of the namespace's release: titles with texts. A part that cannot be read names its error."""
    pods: list[dict[str, Any]] = []

    def list_pods() -> Iterable[str]:
        pods.extend(kubectl.get("pods", "-n", namespace, _IN_TIME)["items"])
        return map(_pod, pods)

    sections: list[Section] = []
    if decisions is not None:
        sections.append(_section("last decisions", lambda: map(_decision, decisions()[:DECISIONS])))
    sections.append(_section("pods", list_pods))
    for component in COMPONENTS:
        for pod in pods:
            if pod["metadata"].get("labels", {}).get(_COMPONENT) == component:
                sections += _logs(kubectl, namespace, pod)
    return sections


def _section(title: str, read: Callable[[], Iterable[str]]) -> Section:
    try:
        return title, "\n".join(read()) or "none"
    except Exception as failure:  # noqa: BLE001  # the failure of the test is what counts, and no other may hide it
        first = str(failure).partition("\n")[0]
        return title, f"cannot be read: {type(failure).__name__}: {first[:LINE_CHARACTERS]}"


def _decision(decision: Mapping[str, Any]) -> str:
    counts = " ".join(f"{name}={decision[name]}" for name in ("replicas", "draining", "staying", "desired"))
    return f"{decision['at']} {decision['reason']} {counts}: {decision['explanation']}"


def _pod(pod: Mapping[str, Any]) -> str:
    leaving = " leaving" if "deletionTimestamp" in pod["metadata"] else ""
    containers = "; ".join(map(_container, pod["status"].get("containerStatuses", ()))) or "no container"
    return f"{pod['metadata']['name']}{leaving}: {pod['status'].get('phase')}; {containers}"


def _container(status: Mapping[str, Any]) -> str:
    """Describes a container: its state and that before its last restart, with the reasons and exit codes."""
    text = f"{status['name']} {'ready' if status['ready'] else 'not ready'}, {status['restartCount']} restarts"
    for when in ("state", "lastState"):
        for state, detail in status.get(when, {}).items():
            reasons = [f"{detail[name]}" for name in ("reason", "exitCode") if name in detail]
            text += f", {when} {' '.join([state, *reasons])}"
    return text


def _logs(kubectl: Kubectl, namespace: str, pod: Mapping[str, Any]) -> list[Section]:
    name = pod["metadata"]["name"]
    tail = ("logs", name, "-n", namespace, f"--tail={LOG_LINES}", _IN_TIME)

    def lines(*options: str) -> Iterable[str]:
        return map(_line, kubectl.run(*tail, *options).stdout.splitlines())

    sections = [_section(f"log of {name}", lines)]
    if any(status["restartCount"] for status in pod["status"].get("containerStatuses", ())):
        sections.append(_section(f"log of {name} before its restart", lambda: lines("--previous")))
    return sections


def _line(line: str) -> str:
    shown = line if line.startswith("{") else _QUOTES_FOLLOW.split(line, maxsplit=1)[0]
    return shown[:LINE_CHARACTERS]
