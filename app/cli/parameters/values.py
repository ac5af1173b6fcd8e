"""The chart's values from parameters. Pure: every mistake is found before anything is rolled out.

A parameter is directly below the path, and its name there is that of an environment variable, as in the chart's other
ways to read parameters. A SecureString goes to a Secret, a String to the ConfigMap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.cli.failure import CommandFailed
from app.settings import GROUPS
from app.settings.catalogue import CONNECTIONS, PROVIDER_KEYS, SETTINGS, set_by_chart

REQUIRED = ("MONGO_URI", "REDIS_URL")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, repr=False)
class Parameter:
    """A parameter. `path` is its whole name in Parameter Store. No representation contains its value."""

    path: str
    value: str
    secure: bool
    version: int

    @property
    def variable(self) -> str:
        return self.path.rpartition("/")[2]


def chart_values(parameters: Sequence[Parameter], *, path: str) -> dict[str, Any]:
    """Builds `secrets` and `env` of the chart. Raises CommandFailed, which names each mistake and no value."""
    if not parameters:
        raise CommandFailed(f"There are no parameters under {path}: check the path, and the region (--region).")
    problems = [
        f"{parameter.path} {problem}"
        for parameter in sorted(parameters, key=lambda found: found.path)
        if (problem := _problem(parameter, path)) is not None
    ]
    there = {parameter.path for parameter in parameters}
    problems += [f"{path}/{name} is missing" for name in REQUIRED if f"{path}/{name}" not in there]
    if problems:
        raise CommandFailed("\n  ".join([f"The parameters under {path} cannot be used:", *problems]))
    return _sorted_out({parameter.variable: parameter for parameter in parameters})


def _problem(parameter: Parameter, path: str) -> str | None:
    name = parameter.variable
    if parameter.path != f"{path}/{name}":
        return f"is in a folder; it is read as {path}/{name} only"
    if _VARIABLE.fullmatch(name) is None:
        return "is no name of a variable; use letters, digits and _"
    if set_by_chart(name):
        return "is set by the chart itself; delete the parameter"
    if not parameter.value.strip():
        return f"is empty; delete it to leave {name} at its default"
    if name in CONNECTIONS | PROVIDER_KEYS:
        return None if parameter.secure else "is a secret; store it as a SecureString"
    if name not in SETTINGS:
        return None
    if parameter.secure:
        return "is no secret, and all processes have to read it; store it as a String"
    return _invalid(parameter.value, SETTINGS[name])


def _invalid(value: str, field: FieldInfo) -> str | None:
    """Returns the problem that would stop the processes at their start, without the value."""
    (group,) = [group for group in GROUPS.values() if field in group.model_fields.values()]
    try:
        group.model_validate({str(field.validation_alias): value})
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False):
            if detail["loc"][:1] == (field.validation_alias,):
                # The text of our own validators may quote the value; pydantic's own messages do not.
                reason = "the value" if detail["type"] == "value_error" else detail["msg"]
                return f"would stop the processes: {reason} (see docs/config-reference.md)"
    return None


def _sorted_out(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Distributes the parameters over the parts of the chart's values."""

    def values(chosen: Sequence[str]) -> dict[str, str]:
        return {name: parameters[name].value for name in chosen}

    secure = [name for name, parameter in sorted(parameters.items()) if parameter.secure]
    inline = {
        "stores": values([name for name in secure if name in CONNECTIONS]),
        "providers": values([name for name in secure if name in PROVIDER_KEYS]),
        # A SecureString that is not a setting of ours can only be of an agent's own: workers alone get it.
        "worker": values([name for name in secure if name not in CONNECTIONS | PROVIDER_KEYS]),
    }
    plain = [name for name, parameter in sorted(parameters.items()) if not parameter.secure]
    return {"secrets": {"mode": "inline", "inline": inline}, "env": values(plain)}
