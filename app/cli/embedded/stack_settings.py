"""The settings of the workers of a running stack: this environment, and what `up` has added to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.cli.embedded.spec import StackPlan
from app.cli.embedded.stack_plan import ConfiguredParts
from app.cli.embedded.state import StateFolder
from app.settings import BrokerSettings, LLMSettings, Settings, load_settings


@dataclass(frozen=True)
class FoundSettings:
    """The settings of a worker. `of_stack`: they are those of the running stack, not of this environment alone.

    `other_stack`: a stack runs, but was started with other variables, so its workers ask other models.
    """

    settings: Settings
    of_stack: bool = False
    other_stack: bool = False


def find_settings(folder: StateFolder) -> FoundSettings:
    """Reads the settings for models and Redis as the workers of the running stack have them, if one runs.

    A stack has the variables of the shell that started it, and this shell has to have them too. If only one of the two
    names a provider of models, the settings are those of this environment: no key is ever sent to the simulator. Raises
    ConfigurationError.
    """
    settings = load_settings()
    if folder.read_status() is None:
        return FoundSettings(settings)
    plan = StackPlan.read(folder.plan)
    added: dict[str, Any] = next((dict(child.environment) for child in plan.children if child.kind == "worker"), {})
    named = ConfiguredParts.in_settings(settings)
    groups: dict[str, object] = {}
    if not named.models:
        groups["llm"] = LLMSettings(**added)
    if not named.broker:
        groups["broker"] = BrokerSettings(**added)
    same = named.models is not bool(plan.simulated)
    return FoundSettings(settings.model_copy(update=groups), of_stack=same, other_stack=not same)
