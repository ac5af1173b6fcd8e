"""What the chart is told of parameters: pure, so that every mistake in them is found before anything is rolled out.

A parameter's name is the last part of its path, in the spelling of environment variables. A SecureString goes to a
Secret, a String to the ConfigMap; a secret that is stored as a String is a mistake.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.cli.failure import CommandFailed
from app.settings import GROUPS
from app.settings.catalogue import CHART_OWN, CONNECTIONS, PROVIDER_KEYS, SETTINGS

REQUIRED = ("MONGO_URI", "REDIS_URL")
_FILE = "_FILE"


@dataclass(frozen=True, repr=False)
class Parameter:
    """`path` is the whole name in Parameter Store. Its value is in no representation."""

    path: str
    value: str
    secure: bool
    version: int

    @property
    def variable(self) -> str:
        return self.path.rpartition("/")[2].upper().replace("-", "_").replace(".", "_")


def chart_values(parameters: Sequence[Parameter], *, path: str) -> dict[str, Any]:
    """`secrets` and `env` of the chart. Raises CommandFailed, which names each mistake and no value."""
    if not parameters:
        raise CommandFailed(f"There are no parameters under {path}: is the path right, and the region?")
    by_name: defaultdict[str, list[Parameter]] = defaultdict(list)
    for parameter in parameters:
        by_name[parameter.variable].append(parameter)
    problems = [problem for name, found in sorted(by_name.items()) for problem in _problems(name, found)]
    problems += [f"{path}/{name} is missing" for name in REQUIRED if name not in by_name]
    if problems:
        raise CommandFailed("\n  ".join([f"The parameters under {path} cannot be used:", *problems]))
    return _sorted_out({name: found[0] for name, found in sorted(by_name.items())})


def _problems(name: str, found: Sequence[Parameter]) -> list[str]:
    if len(found) > 1:
        return [f"{name} is named by more than one: {', '.join(sorted(parameter.path for parameter in found))}"]
    (parameter,) = found
    if name in CHART_OWN or name.removesuffix(_FILE) in PROVIDER_KEYS - {name}:
        return [f"{parameter.path}: the chart sets {name} itself; delete the parameter"]
    if not parameter.value.strip():
        return [f"{parameter.path} is empty; delete the parameter to leave {name} at its default"]
    if name in CONNECTIONS | PROVIDER_KEYS:
        return [] if parameter.secure else [f"{parameter.path} is a secret; store it as a SecureString"]
    return [] if name not in SETTINGS else _invalid(parameter, SETTINGS[name])


def _invalid(parameter: Parameter, field: FieldInfo) -> list[str]:
    """What the processes would say at their start."""
    (group,) = [group for group in GROUPS.values() if field in group.model_fields.values()]
    try:
        group.model_validate({str(field.validation_alias): parameter.value})
    except ValidationError as error:
        return [
            f"{parameter.path}: {detail['msg']}"
            for detail in error.errors(include_input=False, include_url=False)
            if detail["loc"][:1] == (field.validation_alias,)
        ]
    return []


def _sorted_out(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """A SecureString that is no setting of ours can only be one of an agent's own: the workers alone get it."""

    def values(chosen: Sequence[str]) -> dict[str, str]:
        return {name: parameters[name].value for name in chosen}

    secure = [name for name, parameter in parameters.items() if parameter.secure]
    inline = {
        "stores": values([name for name in secure if name in CONNECTIONS]),
        "providers": values([name for name in secure if name in PROVIDER_KEYS]),
        "worker": values([name for name in secure if name not in CONNECTIONS | PROVIDER_KEYS]),
    }
    plain = [name for name, parameter in parameters.items() if not parameter.secure]
    return {"secrets": {"mode": "inline", "inline": inline}, "env": values(plain)}
