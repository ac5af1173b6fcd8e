"""The kinds of variables: which processes read them, which are secret, and which the Helm chart sets itself.

The chart and the rendering of parameters follow these sets; tests compare them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.settings import GROUPS

_FILE = "_FILE"

READERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "process": ("API", "worker", "operator"),
        "store": ("API", "worker"),
        "broker": ("API", "worker", "operator"),
        "api": ("API",),
        "execution": ("API", "worker"),
        "retention": ("API",),
        "worker": ("worker",),
        "llm": ("worker",),
        "search": ("worker",),
        "agents": ("worker",),
        "operator": ("operator",),
    }
)
"""The processes that use each group of settings."""

CHART_OWN = frozenset(
    {
        "AGENT_API_HOST",
        "AGENT_API_PORT",
        "AGENT_AUTOSCALER_POLICY",
        "AGENT_BOOTSTRAP_SERVICE_KEY",
        "AGENT_BOOTSTRAP_SERVICE_KEY_FILE",
        "AGENT_METRICS_HOST",
        "AGENT_METRICS_PORT",
        "AGENT_OPERATOR_API_KEY",
        "AGENT_OPERATOR_API_KEY_FILE",
        "AGENT_OPERATOR_API_URL",
        "AGENT_OPERATOR_CLUSTER_NAME",
        "AGENT_OPERATOR_FINALIZER",
        "AGENT_OPERATOR_HOST",
        "AGENT_OPERATOR_IDENTITY",
        "AGENT_OPERATOR_NAMESPACES",
        "AGENT_OPERATOR_PORT",
        "AGENT_OPERATOR_WORKER_DEPLOYMENT",
        "AGENT_TASK_DEADLINE_SECONDS",
        "AGENT_WORKER_CONCURRENCY",
        "AGENT_WORKER_GRACE_SECONDS",
        "AGENT_WORKER_NAME",
    }
)
"""Variables that the chart sets itself, from values of its own."""


def _fields() -> dict[str, FieldInfo]:
    return {str(field.validation_alias): field for group in GROUPS.values() for field in group.model_fields.values()}


def is_secret(field: FieldInfo) -> bool:
    """Returns whether the value of this setting must not be shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


SETTINGS: Mapping[str, FieldInfo] = MappingProxyType(_fields())
"""Every setting, by the name of its variable."""

PROVIDER_KEYS = frozenset(name for name in SETTINGS if f"{name}{_FILE}" in SETTINGS and name not in CHART_OWN)
"""Keys of providers, which are mounted as files; their siblings …_FILE hold the paths."""

CONNECTIONS = frozenset(name for name, field in SETTINGS.items() if is_secret(field)) - PROVIDER_KEYS - CHART_OWN
"""Connection strings of the stores."""


def set_by_chart(name: str) -> bool:
    """Returns whether the chart sets this variable itself, so that its users must not."""
    return name in CHART_OWN or (name.endswith(_FILE) and name.removesuffix(_FILE) in PROVIDER_KEYS)
