"""The chart, rendered by the real Helm."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.toolchain import built

CHART = Path(__file__).parents[2] / "charts" / "agent-orchestrator"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASED = Path(__file__).parent / "released" / "agent-orchestrator-0.1.0.tgz"
LONGEST_SECONDS = 300  # longer than any --timeout that a test gives
RELEASE = "ao"
NAME = f"{RELEASE}-agent-orchestrator"
KEY = {"serviceKey": {"existingSecret": "orchestrator-service-key"}}
STORES = {"secrets": {"inline": {"stores": {"MONGO_URI": "mongodb://mongodb/", "REDIS_URL": "redis://valkey/"}}}}


def helm(
    *arguments: str,
    values: Mapping[str, Any] | None = None,
    kubeconfig: Path | None = None,
    stdin: str | None = None,
) -> str:
    """Returns the output of Helm. The values are `values`, or the text `stdin`, which Helm reads as a values file.

    Raises subprocess.CalledProcessError and TimeoutExpired, and toolchain.NoGo if Helm cannot be built.
    """
    command = [str(built("helm") / "helm"), *arguments]
    command += [] if kubeconfig is None else ["--kubeconfig", str(kubeconfig)]
    stdin = stdin if values is None else yaml.safe_dump(dict(values))
    command += [] if stdin is None else ["--values", "-"]
    done = subprocess.run(  # noqa: S603  Helm, with arguments of a test
        command, input=stdin, capture_output=True, text=True, check=True, timeout=LONGEST_SECONDS
    )
    return done.stdout


def render(
    namespace: str,
    *templates: str,
    values: Mapping[str, Any] = STORES,
    release: str = RELEASE,
    chart: Path = CHART,
) -> list[dict[str, Any]]:
    """Returns the objects of these templates, or of all if none is named, for a release in this namespace.

    Helm sees no cluster here, so the values need a source of the service key: `KEY`, unless they name one.
    """
    values = {**KEY, **values} if chart == CHART else values
    only = [option for template in templates for option in ("--show-only", f"templates/{template}")]
    text = helm("template", release, str(chart), "--namespace", namespace, *only, values=values)
    return [found for found in yaml.safe_load_all(text) if found]


def over(values: Mapping[str, Any], further: Mapping[str, Any]) -> dict[str, Any]:
    """Merges both as Helm does: if they differ, the further values win."""
    both = {name: value for name, value in further.items() if name not in values}
    for name, value in values.items():
        other = further.get(name, value)
        both[name] = over(value, other) if isinstance(value, Mapping) and isinstance(other, Mapping) else other
    return both
