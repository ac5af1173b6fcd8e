"""`ssm-render`: from Parameter Store to `helm upgrade -f -`, with names and versions for people beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from app.cli.failure import CommandFailed
from app.cli.parameters.parameter_store import read_parameters
from app.cli.parameters.values import Parameter, chart_values
from app.settings.catalogue import SETTINGS


def render(path: str, *, region: str | None) -> None:
    """Writes the values to standard output, and what they were made of to standard error. Raises CommandFailed."""
    if sys.stdout.isatty():
        raise CommandFailed(
            "The values hold secrets and are for Helm, not for a terminal: "
            f"agent-orchestrator ssm-render --path {path} | helm upgrade … -f -"
        )
    parameters = read_parameters(path, region=region)
    values = chart_values(parameters, path=path)
    sys.stderr.write("".join(f"{line}\n" for line in _report_lines(parameters)))
    json.dump(values, sys.stdout)  # JSON is YAML, and leaves no doubt about what is a text


def list_versions(path: str, *, region: str | None) -> None:
    """Writes a line for each parameter, which changes when it does. Raises CommandFailed."""
    parameters = read_parameters(path, region=region, decrypt=False)
    chart_values(parameters, path=path)
    sys.stdout.write("".join(f"{parameter.path} {parameter.version}\n" for parameter in _in_order(parameters)))


def _report_lines(parameters: Sequence[Parameter]) -> list[str]:
    return [
        f"{parameter.path} version {parameter.version}"
        + (", a secret" if parameter.secure else "")
        + ("" if parameter.variable in SETTINGS else f": {parameter.variable} is no setting of this version")
        for parameter in _in_order(parameters)
    ]


def _in_order(parameters: Sequence[Parameter]) -> list[Parameter]:
    return sorted(parameters, key=lambda parameter: parameter.path)
