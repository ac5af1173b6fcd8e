"""The router's choice among the agents that are offered."""

from __future__ import annotations

import pytest

from app.simulator.answers.routing import choose_agent
from app.simulator.prompt import Prompt, Turn

SYSTEM = """You are the router of a multi-agent system.
- CodeAgent: Writes, explains, reviews, debugs and refactors source code in any programming language.
- ContentAgent: Researches topics and writes long-form texts with sources.
- TranslationAgent: Translates texts from one human language into another.
- WorkflowAgent: Works on general tasks in several steps with tools.
"""
NAMES = ("CodeAgent", "ContentAgent", "TranslationAgent", "WorkflowAgent", "Unknown")


def choose(task: str, names: tuple[str, ...] = NAMES) -> tuple[str, float]:
    choice = choose_agent(Prompt("m", (Turn("system", SYSTEM), Turn("user", task))), names)
    return choice.agent_name, choice.confidence


@pytest.mark.parametrize(
    ("task", "agent"),
    [
        ("Write an article about solar power in Africa", "ContentAgent"),
        ("Research the history of tea and write a report", "ContentAgent"),
        ("Write a blog post about baking a cake", "ContentAgent"),
        ("Why is the sky blue?", "ContentAgent"),
        ("Write a Python function that reverses a string", "CodeAgent"),
        ("Explain this code: ```js\nlet a = 1\n```", "CodeAgent"),
        ("Create a SQL query for the top ten customers", "CodeAgent"),
        ("refactor this: def f(x): return x+1", "CodeAgent"),
        ("Translate this letter into French", "TranslationAgent"),
        ("Translate 'Good morning' into German", "TranslationAgent"),
        ("Write a haiku about code", "ContentAgent"),
        ("Write an article about Python", "ContentAgent"),
        ("Write a blog post about SQL query tuning", "ContentAgent"),
        ("Write a Python program that prints a report", "CodeAgent"),
        ("Write a Python report generator", "CodeAgent"),
        ("Reverse a string", "CodeAgent"),
        ("2+2", "ContentAgent"),
        ("Handle my general affairs in several steps", "WorkflowAgent"),
    ],
)
def test_agent_that_fits_is_chosen(task: str, agent: str) -> None:
    name, confidence = choose(task)
    assert name == agent
    assert confidence >= 0.5


@pytest.mark.parametrize(
    "task",
    ["bake me a cake and bring it", "Walk my dog", "asdf qwrtp zxcvb", "asdf qwer zxcv", "?!?", "wash the dishes"],
)
def test_nobody_can_do_the_impossible(task: str) -> None:
    name, confidence = choose(task)
    assert name == "Unknown"
    assert confidence < 0.5


def test_a_task_goes_to_the_agent_whose_card_claims_it_and_not_to_one_that_is_not_for_it() -> None:
    restructures = "- RefactorAgent: Restructures source code that the user gives. Not for writing new code.\n"
    task, names = "Refactor this code: def f(a): return a+1", (*NAMES, "RefactorAgent")

    def chosen(system: str) -> str:
        return choose_agent(Prompt("m", (Turn("system", system), Turn("user", task))), names).agent_name

    narrowed = SYSTEM.replace("and refactors source code in any", "source code. Not for refactoring in any")
    assert chosen(SYSTEM + restructures) == "CodeAgent"
    assert chosen(narrowed + restructures) == "RefactorAgent"


def test_sentence_without_spaces_is_not_gibberish() -> None:
    assert choose("请写一篇关于太阳能发电的简短介绍文章谢谢")[0] != "Unknown"


def test_without_unknown_the_confidence_is_low() -> None:
    name, confidence = choose("bake me a cake", ("CodeAgent", "ContentAgent"))
    assert name == "CodeAgent"
    assert confidence < 0.5


def test_follow_up_goes_to_the_agent_that_answered() -> None:
    task = (
        '<<<data 0a source="conversation">>>\nuser: tea\nTranslationAgent: Tee\n<<<end 0a>>>\n\nRoute this task:\n'
        '<<<data 0b source="user">>>\nmake it shorter\n<<<end 0b>>>'
    )
    assert choose(task)[0] == "TranslationAgent"


def test_alternatives_are_other_agents() -> None:
    choice = choose_agent(Prompt("m", (Turn("system", SYSTEM), Turn("user", "Write a Go program"))), NAMES)
    assert choice.agent_name not in dict(choice.alternatives)
    assert all(0 <= confidence <= choice.confidence for _, confidence in choice.alternatives)
