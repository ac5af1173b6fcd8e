"""`ssm-render`: values for `helm upgrade -f -` from Parameter Store; people get names and versions only."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence

from app.cli.failure import CommandFailed
from app.cli.invocation import pasteable
from app.cli.parameters.parameter_store import read_parameters
from app.cli.parameters.values import Parameter, chart_values
from app.settings.catalogue import SETTINGS


def render(path: str, *, region: str | None) -> None:
    """Writes the values to standard output, and the names of their parameters to standard error.

    Raises CommandFailed.
    """
    if sys.stdout.isatty():
        raise CommandFailed(
            "The values hold secrets and are for Helm, not for a terminal: "
            f"{pasteable(f'ssm-render --path {shlex.quote(path)}')} | helm upgrade … -f -"
        )
    parameters = read_parameters(path, region=region)
    values = chart_values(parameters, path=path)
    sys.stderr.write("".join(f"{line}\n" for line in _report_lines(parameters)))
    json.dump(values, sys.stdout)  # JSON is YAML, and its quotes leave no doubt that 1e3 or true is a text


def list_versions(path: str, *, region: str | None) -> None:
    """Writes a line per parameter that changes with each of its versions. Raises CommandFailed."""
    parameters = read_parameters(path, region=region, decrypt=False)
    chart_values(parameters, path=path)  # refuses here what the rollout would refuse later
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
