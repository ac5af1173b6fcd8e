"""The lines that a person sees while a stack starts whose models cannot be asked."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest

from app.cli import model_problems
from app.cli.model_problems import list_problems, print_problems
from app.errors import ConfigurationError
from app.llm.faults import FaultKind, ProviderFault
from app.llm.model_check import ProviderList
from app.settings import LLMSettings, Settings
from tests.unit.cli.model_facts import REFUSED, facts, model

LLM = LLMSettings(fallback_model="gpt-6-nova")
NO_ROUTER = "No model can be asked for these roles: router (LLM_PEER_MODEL)"


def test_models_that_can_be_asked_are_no_problem() -> None:
    assert list_problems(facts([model()]), LLM) == []


def test_a_refused_key_is_one_line_with_its_variable() -> None:
    first, second = (model(name, listing=REFUSED) for name in ("gpt-4.1", "gpt-6-luna"))
    problems = list_problems(facts([first, second], listing=REFUSED), LLM)
    assert problems == ['openai: the key is refused: 401: "no such key" (is OPENAI_API_KEY right?)', NO_ROUTER]


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.BROKEN_ANSWER])
def test_a_list_that_says_nothing_about_key_and_address_is_no_problem(kind: FaultKind) -> None:
    listing = ProviderList(fault=ProviderFault(kind, "429"))
    assert list_problems(facts([model(listing=listing)], listing=listing), LLM) == []


def test_a_model_that_is_not_listed_names_the_setting_of_its_chain() -> None:
    (unlisted, no_model) = list_problems(facts([model("gpt-5-oops")]), LLM)
    assert unlisted == (
        "openai:gpt-5-oops: its provider does not list it, so it cannot be asked (is LLM_PEER_MODEL right?)"
    )
    assert no_model == NO_ROUTER


def test_a_fallback_that_is_not_listed_names_the_setting_of_all_chains() -> None:
    (problem,) = list_problems(facts([model(), model("gpt-6-nova")]), LLM)
    assert problem.endswith("(is AGENT_FALLBACK_MODEL right?)")


def test_a_server_of_ones_own_may_answer_under_a_name_that_it_does_not_list() -> None:
    (problem,) = list_problems(facts([model("mine", elsewhere=True)]), LLM)
    assert "it may answer all the same (is LLM_PEER_MODEL right?)" in problem


def test_a_server_that_does_not_answer_delays_the_start_no_longer_than_the_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answered = Event()

    def find(_: Settings) -> list[str]:
        answered.wait()
        return ["late"]

    monkeypatch.setattr(model_problems, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(model_problems, "_find", find)
    print_problems(Settings())
    assert capsys.readouterr().err == ""
    answered.set()


def test_a_chain_that_cannot_be_used_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def read(*_: Any) -> None:
        raise ConfigurationError("The name of model 'x' does not determine its provider.")

    monkeypatch.setattr(model_problems, "read_model_facts", read)
    monkeypatch.setattr(model_problems, "configure_logging", lambda *_, **__: None)
    print_problems(Settings())
    assert capsys.readouterr().err == "The name of model 'x' does not determine its provider.\n"
