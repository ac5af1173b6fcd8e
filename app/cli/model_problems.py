"""The problems of the models that the settings name, printed while a stack starts: a wrong key, address or name.

They are warnings. A server may be back before the first task comes, so nothing here stops a start, or delays it by more
than `LONGEST_SECONDS`. `models` shows the same facts in full.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from threading import Thread

import typer

from app.cli.model_document import ROLE_NAMES, roles_without_model
from app.cli.model_overview import read_model_facts
from app.cli.text import plain
from app.errors import AgentOrchestratorError
from app.llm.chains import FALLBACK_SETTING, setting_of
from app.llm.hop_facts import HopFacts, ModelFacts, explain
from app.settings import LLMSettings, Settings
from app.telemetry.logs import configure_logging

LONGEST_SECONDS = 3.0
LIST_SECONDS = 2.0  # for each provider, side by side: one that does not answer must not hide the others


def print_problems(settings: Settings) -> None:
    """Prints a line on standard error for each problem that is found in time."""
    found: list[str] = []
    # Not a timeout of asyncio: at the end of its loop it waits for a resolver of names that does not answer.
    reading = Thread(target=lambda: found.extend(_find(settings)), daemon=True)
    reading.start()
    reading.join(LONGEST_SECONDS)
    for problem in found:
        typer.echo(problem, err=True)


def _find(settings: Settings) -> Sequence[str]:
    process = settings.process.model_copy(update={"log_level": "ERROR", "otlp_endpoint": None})
    configure_logging(process, process="command", stream=sys.stderr)
    llm = settings.llm.model_copy(update={"timeout_seconds": LIST_SECONDS})
    try:
        facts = asyncio.run(read_model_facts(settings.model_copy(update={"llm": llm}), process))
    except AgentOrchestratorError as error:  # the workers cannot start either, and log it
        return [error.message]
    return list_problems(facts, settings.llm)


def list_problems(facts: ModelFacts, llm: LLMSettings) -> Sequence[str]:
    """Lists what keeps models from being asked, a line each, with the setting that is probably wrong."""
    hops = {model.hop: model for chain in facts.chains.values() for model in chain}.values()
    missing = roles_without_model(facts)
    of_roles = [] if missing is None else [missing]
    return [*_of_providers(facts, hops=list(hops)), *_of_models(facts, llm, hops=list(hops)), *of_roles]


def _of_providers(facts: ModelFacts, *, hops: Sequence[HopFacts]) -> Iterator[str]:
    ill = {model.hop.provider for model in hops if model.reachable is False}
    for provider in facts.providers:
        if provider.provider in ill:
            yield f"{provider.provider}: {plain(explain(provider.listing) or '')}"


def _of_models(facts: ModelFacts, llm: LLMSettings, *, hops: Sequence[HopFacts]) -> Iterator[str]:
    for model in hops:
        if model.listed is False:
            doubt = "it may answer all the same" if model.can_be_asked else "it cannot be asked"
            settings = _settings_naming(model, facts, llm)
            question = f"is {settings[0]} right?" if len(settings) == 1 else f"are {', '.join(settings)} right?"
            yield f"{plain(model.hop.name)}: its provider does not list it, so {doubt} ({question})"


def _settings_naming(model: HopFacts, facts: ModelFacts, llm: LLMSettings) -> Sequence[str]:
    fallback = [spec.strip() for spec in llm.fallback_model.split(",")]
    if model.hop.name in fallback or model.hop.model in fallback:
        return [FALLBACK_SETTING]
    return [setting_of(role) for role in ROLE_NAMES if any(model.hop == other.hop for other in facts.chains[role])]
