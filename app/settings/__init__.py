"""Every setting of the system, typed, grouped, with its range: the only reader of the environment.

A group is a small model in a module of its own, whose fields are single environment variables. `load_settings()` reads
all groups, from the environment and then from `.env` in the working directory, and raises one `ConfigurationError` that
lists every wrong value. Secrets are `SecretStr`. A key may also be named by `<NAME>_FILE`: `app.outbound.key_file`
reads that file again when it changes, so that a rotated key needs no restart. docs/config-reference.md is generated
from the descriptions of the fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import ConfigurationError
from app.settings.agents import AgentSettings
from app.settings.api import ApiSettings
from app.settings.broker import BrokerSettings
from app.settings.dotenv_file import ENV_FILE, near_misses, problems_of_file
from app.settings.execution import ExecutionSettings
from app.settings.group import SettingsGroup
from app.settings.llm import LLMSettings, ProviderSettings
from app.settings.operator import OperatorSettings
from app.settings.process import Environment, ProcessSettings
from app.settings.retention import RetentionSettings
from app.settings.search import SearchSettings
from app.settings.store import StoreSettings
from app.settings.worker import WorkerSettings

__all__ = [
    "GROUPS",
    "AgentSettings",
    "ApiSettings",
    "BrokerSettings",
    "Environment",
    "ExecutionSettings",
    "LLMSettings",
    "OperatorSettings",
    "ProcessSettings",
    "ProviderSettings",
    "RetentionSettings",
    "SearchSettings",
    "Settings",
    "SettingsGroup",
    "StoreSettings",
    "WorkerSettings",
    "load_settings",
    "misspelt_variables",
]

GROUPS: dict[str, type[SettingsGroup]] = {
    "process": ProcessSettings,
    "store": StoreSettings,
    "broker": BrokerSettings,
    "api": ApiSettings,
    "execution": ExecutionSettings,
    "retention": RetentionSettings,
    "worker": WorkerSettings,
    "llm": LLMSettings,
    "search": SearchSettings,
    "agents": AgentSettings,
    "operator": OperatorSettings,
}


class Settings(BaseModel):
    """All groups of settings. Build it with `load_settings()`, which reports all wrong values at once."""

    model_config = ConfigDict(frozen=True)

    process: ProcessSettings = Field(default_factory=ProcessSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    execution: ExecutionSettings = Field(default_factory=ExecutionSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    llm: LLMSettings = Field(default_factory=LLMSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)
    agents: AgentSettings = Field(default_factory=AgentSettings)
    operator: OperatorSettings = Field(default_factory=OperatorSettings)


def load_settings(**overrides: Any) -> Settings:
    """Reads the environment and `.env`. `overrides` replace whole groups by name (`api=ApiSettings(...)`).

    Raises ConfigurationError with one line per wrong value: the variable, what is wrong, never a secret's value.
    """
    unreadable = problems_of_file(Path(ENV_FILE))
    if unreadable:
        raise _wrong(unreadable)
    wrong: list[str] = []
    groups: dict[str, Any] = {}
    for name, group in GROUPS.items():
        if name in overrides:
            groups[name] = overrides[name]
            continue
        try:
            groups[name] = group()
        except ValidationError as error:
            # Without the input: it may be a secret, and this text ends up in logs.
            wrong += [
                f"{detail['loc'][0]}: {detail['msg'].removeprefix('Value error, ')}"
                for detail in error.errors(include_input=False, include_url=False)
            ]
    if wrong:
        raise _wrong(wrong)
    return Settings(**groups)


def misspelt_variables() -> list[str]:
    """Lists the names in `.env` that are no setting but like one, each in a sentence."""
    known = {str(field.validation_alias) for group in GROUPS.values() for field in group.model_fields.values()}
    found = near_misses(Path(ENV_FILE), known | {"AGENT_ORCHESTRATOR_API_KEY"})  # the command line reads that one
    return [f"{ENV_FILE} sets {name}, which is no setting; did you mean {setting}?" for name, setting in found]


def _wrong(lines: Sequence[str]) -> ConfigurationError:
    listing = "\n".join(f"  {line}" for line in lines)
    return ConfigurationError(f"These settings are wrong; correct them and start again:\n{listing}")
