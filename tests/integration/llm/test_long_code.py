"""Real code as long as a task may be, refactored by CodeAgent: the answer comes in pieces and is whole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import app.llm
from app.agents.coding.graph import CodeAgent
from app.agents.testing import ScriptedLLM, build_context
from app.domain.agent import AgentOutput
from app.domain.task import TASK_TEXT_LIMIT
from app.settings import LLMSettings
from tests.integration.llm.conftest import Ask, Asked, Control

MODULES = sorted(Path(app.llm.__file__).parent.glob("**/*.py"))
WISH = "Refactor this code:\n\n```python\n{code}\n```"
LONGEST = TASK_TEXT_LIMIT - len(WISH)
# Models that do not think, whose pieces are no longer than AGENT_MAX_TOKENS: chat completions, responses, messages.
ENDPOINTS = ["sim-ok", "sim-codex", "claude-sim-ok"]


def definitions() -> Iterator[str]:
    """Yields the functions and classes of this product's gateway, module by module."""
    for path in MODULES:
        source = path.read_text()
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield ast.get_source_segment(source, node) or ""


def real_code(characters: int) -> str:
    """Joins whole functions and classes to at most so many characters, and leaves out those that are too long."""
    code = ""
    for definition in definitions():
        longer = f"{code}\n\n{definition}".strip()
        code = longer if len(longer) <= characters else code
    return code


def names_of(code: str) -> list[str]:
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in ast.walk(ast.parse(code)) if isinstance(node, defined)]


async def refactor(asked: Asked, code: str) -> AgentOutput:
    context = build_context(ScriptedLLM(), task=WISH.format(code=code))
    return await CodeAgent().run(replace(context, llm=asked.llm))


def code_of(output: AgentOutput) -> str:
    (block,) = output.content.split("```")[1::2]
    return block.removeprefix("python\n")


@pytest.mark.parametrize("model", ENDPOINTS)
@pytest.mark.parametrize("characters", [15_000, 27_000, LONGEST])
async def test_real_code_is_refactored_to_its_end_in_pieces(
    ask: Ask, control: Control, model: str, characters: int
) -> None:
    code = real_code(characters)
    assert len(code) > characters - 300
    asked = ask(model)

    output = await refactor(asked, code)

    settings = asked.gateway.settings
    pieces = -(-len(output.content) // (4 * settings.max_tokens))  # the simulator counts four characters a token
    assert not output.truncated
    assert output.code_language == "python"
    assert names_of(code_of(output)) == names_of(code)
    assert len(output.content) > len(code)
    assert (await control.calls())["calls"] == len(asked.recorded) == pieces <= 1 + settings.max_continuations
    assert output == await refactor(ask(model, max_tokens=32_000), code)


async def test_pieces_of_any_size_make_the_same_whole(ask: Ask) -> None:
    code = real_code(15_000)
    whole = await refactor(ask("sim-ok", max_tokens=32_000), code)
    for max_tokens in (999, 1_500, 2_222):
        output = await refactor(ask("sim-ok", max_tokens=max_tokens, max_continuations=20), code)
        assert output == whole


def test_the_defaults_hold_a_refactoring_of_the_longest_task() -> None:
    """Python takes three to four characters a token; two and a half would be much for any code."""
    settings = LLMSettings()
    assert settings.max_tokens * (1 + settings.max_continuations) >= TASK_TEXT_LIMIT / 2.5 + 2_000
