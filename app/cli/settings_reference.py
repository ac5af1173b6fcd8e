"""docs/config-reference.md, generated from the settings: one row per variable, with the description of its field.

Defaults come from the fields, never from the environment of the person who generates it; a test detects drift.
"""

from __future__ import annotations

from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.cli.embedded.stack_plan import LOCAL_DEFAULTS
from app.settings import GROUPS, SettingsGroup
from app.settings.catalogue import READERS, is_secret, set_by_chart
from app.settings.group import CommaList

TITLES = {
    "process": "Every process",
    "store": "MongoDB",
    "broker": "Redis or Valkey",
    "api": "API",
    "execution": "Running tasks",
    "retention": "Retention",
    "worker": "Worker",
    "llm": "Language models",
    "search": "Web search",
    "agents": "Agents",
    "operator": "Operator",
}
INTRODUCTION = """\
# Configuration

Every setting is an environment variable. Processes also read `.env` in the working directory, for development; a
variable of the environment overrides one of this file. An empty variable counts as not set. A process with wrong values
stops at its start, with one line for each of them. Secrets are never printed. Instead of a key, a `…_FILE` variable may
name a file with the key; the file is read again when it changes.

In a cluster a setting is a value of the chart: `env` for all processes, `api.env`, `worker.env` and `operator.env` for
one. On AWS it is a parameter `/agent-orchestrator-api/<environment>/<variable>` in Parameter Store, of the type in the
column “parameter”; `agent-orchestrator ssm-render` writes the parameters as values of the chart. If the column has the
word “chart”, the chart sets the variable from another value, and a parameter of that name is refused.

`agent-orchestrator up` uses the servers that `MONGO_URI`, `REDIS_URL`, and the keys and base URLs of the providers of
models and of search name. It embeds the others. While no key of a model provider is set, a simulator answers.
These settings have other defaults there: {local_defaults}.

`make docs` generates this page from the settings.
"""
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def render_reference() -> str:
    sections = [_section(name, group) for name, group in GROUPS.items()]
    return INTRODUCTION.replace("{local_defaults}", local_defaults()) + "".join(f"\n{section}" for section in sections)


def local_defaults() -> str:
    """Writes down the defaults that hold for `up` alone."""
    return ", ".join(f"`{name}` {value}" for name, value in sorted(LOCAL_DEFAULTS.items()))


def _section(name: str, group: type[SettingsGroup]) -> str:
    rows = [_row(field) for field in group.model_fields.values()]
    readers = f"Read by: {', '.join(READERS[name])}."
    header = ["| variable | type | default | parameter | what it does |", "|---|---|---|---|---|"]
    return "\n".join([f"## {TITLES[name]}", "", readers, "", *header, *rows, ""])


def _row(field: FieldInfo) -> str:
    cells = (
        f"`{field.validation_alias}`",
        _type_text(field.annotation) + _range_text(field),
        _default_text(field.default),
        _parameter_text(field),
        field.description or "",
    )
    # An unescaped | would start another cell of the table.
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _parameter_text(field: FieldInfo) -> str:
    if set_by_chart(str(field.validation_alias)):
        return "chart"
    return "SecureString" if is_secret(field) else "String"


def _type_text(annotation: Any) -> str:
    if annotation == CommaList or get_origin(annotation) is tuple:
        return "list"
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_type_text(part) for part in get_args(annotation) if part is not NoneType)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{choice.value}`" for choice in annotation)
    names = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "SecretStr": "secret"}
    name: str = annotation.__name__
    return names.get(name, name.lower())


def _range_text(field: FieldInfo) -> str:
    bounds = [
        # 86 400, as a comma would end the bound in a list of bounds.
        f"{sign} {getattr(rule, name):,}".replace(",", " ")
        for rule in field.metadata
        for name, sign in _BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return f" ({', '.join(bounds)})" if bounds else ""


def _default_text(default: Any) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, tuple):
        default = ",".join(default)
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{default}`"
