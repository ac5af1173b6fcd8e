"""Whole answers: articles, follow-ups, tools, and faults of the content."""

from __future__ import annotations

import json
import re

import pytest

from app.agents.content.prompts import PLAN_SYSTEM, WRITE_SYSTEM
from app.simulator.answers.articles import REMARK
from app.simulator.answers.compose import compose_answer
from app.simulator.answers.reading import code_blocks
from app.simulator.injections import FORBIDDEN_TOOLS, FOREIGN_HOSTS, PAGES
from app.simulator.prompt import ANY_TOOL, Answer, Finish, Json, Prompt, ToolOffer, Turn
from app.simulator.scripted_faults import VERBOSE_CHARACTERS, Effect
from app.tools.untrusted import enclose

WRITER = Turn("system", WRITE_SYSTEM.format(today="2026-01-01", grounding=""))
ARTICLE = Turn("user", "Write an article about green tea")
SEARCH = ToolOffer("web_search", "Searches the web.", {"type": "object", "properties": {"query": {"type": "string"}}})
SCHEMA: Json = {
    "type": "object",
    "properties": {"agent_name": {"enum": ["CodeAgent", "ContentAgent"]}, "confidence": {"type": "number"}},
}


def answer(*turns: Turn, effects: frozenset[Effect] = frozenset(), tools: tuple[ToolOffer, ...] = ()) -> Answer:
    return compose_answer(Prompt("m", turns, tools=tools), effects, seed="0")


def test_article_is_long_and_about_the_topic() -> None:
    text = answer(WRITER, ARTICLE).text
    assert text.startswith("# Green tea\n\n")
    assert text.count("\n\n") > 10
    assert len(text.split()) > 350


def test_article_cites_every_source_and_no_other() -> None:
    sources = "\n---\nSources:\n" + "\n\n".join(f"[{n}]:\n{enclose('x', source='y', limit=9)}" for n in (1, 2, 3))
    text = answer(WRITER, Turn("user", ARTICLE.text + sources)).text
    assert all(f"[{number}]" in text for number in (1, 2, 3))
    assert "[4]" not in text
    assert "Sources" not in text


def test_follow_up_uses_the_previous_answer() -> None:
    first = answer(WRITER, ARTICLE).text
    history = (WRITER, ARTICLE, Turn("assistant", first))
    shorter = answer(*history, Turn("user", "Make it shorter")).text
    assert "shorter version of the previous answer" in shorter
    assert len(shorter) < len(first) / 2
    more = answer(*history, Turn("user", "What does that mean for beginners?")).text
    assert "previous answer about Green tea" in more


@pytest.mark.parametrize(
    ("task", "paragraphs", "sentences"),
    [
        ("Summarise it in two sentences", 1, 2),
        ("Cut that down to three short sentences", 1, 3),
        ("Make it one paragraph", 1, 4),
        ("Rewrite the article in two paragraphs", 2, 8),
    ],
)
def test_follow_up_has_the_length_that_was_asked_for(task: str, paragraphs: int, sentences: int) -> None:
    first = answer(WRITER, ARTICLE).text
    text = answer(WRITER, ARTICLE, Turn("assistant", first), Turn("user", task)).text
    *kept, remark = text.split("\n\n")
    assert len(kept) == paragraphs
    assert sum(len(re.findall(r"[.!?](?:\s|$)", paragraph)) for paragraph in kept) == sentences
    assert remark == REMARK


CODER = Turn("system", "You are a senior software engineer.")


@pytest.mark.parametrize(
    "turns",
    [
        (WRITER, ARTICLE),
        (Turn("user", "What is the capital of France?"),),
        (CODER, Turn("user", "Write a Python function that checks whether a number is prime")),
        (CODER, Turn("user", "Explain this: ```python\nprint(1)\n```")),
        (CODER, Turn("user", "Refactor this: ```python\ndef f(x):\n  return x\n```")),
        (CODER, Turn("user", "Write a program that does something rare")),
        (ARTICLE, Turn("tool", "Tea is a drink.")),
        (Turn("system", "You summarise texts."), ARTICLE),
    ],
)
def test_made_up_answer_says_once_and_outside_of_code_where_it_comes_from(turns: tuple[Turn, ...]) -> None:
    text = answer(*turns).text
    assert text.endswith(f"\n\n{REMARK}")
    assert text.count(REMARK) == 1
    assert not any("simulator" in block.code for block in code_blocks(text))


def test_remark_of_an_earlier_answer_is_not_taken_up() -> None:
    first = answer(WRITER, ARTICLE).text
    for task in ("Make it shorter", "Make a bullet list of it", "What does that mean for beginners?"):
        assert answer(WRITER, ARTICLE, Turn("assistant", first), Turn("user", task)).text.count("simulator") == 1


@pytest.mark.parametrize("task", ["What is 2+2?", "Write a haiku about rain", "Translate 'Good morning' into German"])
def test_answer_that_is_right_has_no_remark(task: str) -> None:
    assert "simulator" not in answer(WRITER, Turn("user", task)).text


def test_program_that_answers_a_short_task_is_code() -> None:
    text = answer(CODER, Turn("user", "Write a Python program that computes 2+2")).text
    assert "```python" in text


def test_tool_is_called_and_its_result_used() -> None:
    asked = answer(ARTICLE, tools=(SEARCH,))
    (use,) = asked.tool_uses
    assert (use.name, use.arguments) == ("web_search", {"query": "green tea"})
    assert asked.finish is Finish.TOOLS
    used = answer(ARTICLE, Turn("assistant", ""), Turn("tool", "Tea is a drink."), tools=(SEARCH,))
    assert "Tea is a drink." in used.text
    assert used.tool_uses == ()


def test_forced_tool_is_called() -> None:
    prompt = Prompt("m", (Turn("user", "hello"),), tools=(SEARCH,), forced_tool=ANY_TOOL)
    assert compose_answer(prompt, frozenset(), seed="0").tool_uses[0].name == "web_search"


@pytest.mark.parametrize("in_words", [False, True])
@pytest.mark.parametrize(("results", "name"), [(0, "web_search"), (1, "answer"), (2, "answer")])
def test_of_tools_that_must_be_called_each_has_its_turn(results: int, name: str, in_words: bool) -> None:
    words = "Answer by calling one of these tools, and write nothing else: web_search, answer."
    turns = (Turn("system", words if in_words else "Be brief."), ARTICLE, *[Turn("tool", "found")] * results)
    tools = (SEARCH, ToolOffer("answer", "", SCHEMA))
    prompt = Prompt("m", turns, tools=tools, forced_tool=None if in_words else ANY_TOOL)
    assert [use.name for use in compose_answer(prompt, frozenset(), seed="0").tool_uses] == [name]


def test_tool_that_the_system_demands_is_called() -> None:
    demand = Turn("system", "Give your whole answer by calling the tool answer; write nothing else.")
    tool = ToolOffer("answer", "", SCHEMA)
    (use,) = answer(demand, ARTICLE, tools=(SEARCH, tool)).tool_uses
    assert (use.name, use.arguments["agent_name"]) == ("answer", "ContentAgent")


def test_tool_loop_never_ends() -> None:
    turns = (ARTICLE, *[Turn("tool", "result")] * 12)
    assert answer(*turns, tools=(SEARCH,), effects=frozenset({Effect.TOOL_LOOP})).tool_uses


def test_bad_tool_is_nobody_s() -> None:
    assert answer(ARTICLE, effects=frozenset({Effect.BAD_TOOL})).tool_uses[0].name == "no_such_tool"


@pytest.mark.parametrize(
    ("effect", "finish"),
    [(Effect.REFUSAL, Finish.REFUSAL), (Effect.LENGTH, Finish.LENGTH), (Effect.EMPTY, Finish.STOP)],
)
def test_faults_end_as_they_should(effect: Effect, finish: Finish) -> None:
    given = answer(ARTICLE, effects=frozenset({effect}))
    assert given.finish is finish
    assert bool(given.text) is (effect is not Effect.EMPTY)


def test_max_tokens_cut_the_answer() -> None:
    given = compose_answer(Prompt("m", (ARTICLE,), max_tokens=50), frozenset(), seed="0")
    assert (given.finish, given.output_tokens) == (Finish.LENGTH, 50)


def test_an_answer_that_was_cut_off_goes_on_where_it_ends() -> None:
    whole = answer(WRITER, ARTICLE).text
    given = compose_answer(Prompt("m", (WRITER, ARTICLE), max_tokens=200), frozenset(), seed="0")
    text, calls = given.text, 1
    while given.finish is Finish.LENGTH:
        asked = (Turn("assistant", text), Turn("user", "Your answer was cut off. Go on where it ends."))
        given = compose_answer(Prompt("m", (WRITER, ARTICLE, *asked), max_tokens=200), frozenset(), seed="0")
        text, calls = text + given.text, calls + 1
    assert (text, calls) == (whole, -(-len(whole) // 800))


def test_a_request_to_continue_is_no_answer_that_was_cut_off() -> None:
    first = answer(WRITER, ARTICLE).text
    more = answer(WRITER, ARTICLE, Turn("assistant", first), Turn("user", "Continue the article where it ends."))
    assert len(more.text) > 100


def test_a_verbose_model_heeds_no_limit() -> None:
    given = compose_answer(Prompt("m", (ARTICLE,), max_tokens=50), frozenset({Effect.VERBOSE}), seed="0")
    assert (given.finish, len(given.text)) == (Finish.STOP, VERBOSE_CHARACTERS)
    shorter = compose_answer(Prompt("m", (ARTICLE,)), frozenset({Effect.VERBOSE}), seed="0", verbose_characters=20_000)
    assert len(shorter.text) == 20_000


def structured(effect: Effect | None = None, *turns: Turn) -> str:
    prompt = Prompt("m", turns or (ARTICLE,), schema=SCHEMA)
    return compose_answer(prompt, frozenset({effect} if effect else ()), seed="0").text


def test_structured_answers_and_their_faults() -> None:
    assert json.loads(structured())["agent_name"] == "ContentAgent"
    assert json.loads(structured(Effect.UNKNOWN_AGENT))["agent_name"] == "NobodyAgent"
    assert json.loads(structured(Effect.WRONG_SCHEMA)) == {"unexpected": True}
    with pytest.raises(json.JSONDecodeError):
        json.loads(structured(Effect.BROKEN_JSON))


@pytest.mark.parametrize("page", PAGES, ids=[page.attack for page in PAGES])
def test_only_the_gullible_model_obeys_a_page(page: object) -> None:
    content = Turn("tool", getattr(page, "content", ""))
    effects = frozenset({Effect.OBEY_INJECTION})
    obedient = answer(ARTICLE, content, effects=effects).text
    called = answer(ARTICLE, content, effects=effects, tools=(SEARCH,)).tool_uses
    assert any(host in obedient for host in FOREIGN_HOSTS) or {use.name for use in called} & FORBIDDEN_TOOLS
    assert not answer(ARTICLE, content, tools=(SEARCH,)).tool_uses


def test_gullible_model_needs_untrusted_text() -> None:
    effects = frozenset({Effect.OBEY_INJECTION})
    assert answer(ARTICLE, effects=effects) == answer(ARTICLE)


def test_plan_prompt_gives_no_article_markup() -> None:
    plan: Json = {"type": "object", "properties": {"title": {"type": "string"}, "queries": {"type": "array"}}}
    prompt = Prompt("m", (Turn("system", PLAN_SYSTEM), ARTICLE), schema=plan)
    assert json.loads(compose_answer(prompt, frozenset(), seed="0").text)["title"] == "Green tea"
