"""The examples of the documentation get the right agent and an answer that answers them, through the real agents."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.agents.base import Agent
from app.agents.coding.graph import CodeAgent
from app.agents.content.graph import ContentAgent
from app.agents.peer.graph import PeerAgent
from app.agents.testing import ModelCall, ScriptedLLM, ScriptedSearch, build_context, build_hit, build_message
from app.cli.demo.scenes import SCENES
from app.domain.agent import AgentOutput
from app.domain.message import Message, MessageRole
from app.errors import UnknownTaskType
from app.simulator.answers.articles import REMARK
from app.simulator.answers.compose import compose_answer
from app.simulator.answers.reading import code_blocks
from app.simulator.prompt import Prompt, Turn
from app.tools.search_tool import SearchHit

ROOT = Path(__file__).parents[4]
PAGES = ["README.md", "docs/*.md", "charts/*/README.md", "charts/*/values.yaml", "k8s/samples/*.yaml"]
_TASK = re.compile(r'"task": ("(?:[^"\\]|\\.)*")|\bsubmit ("[^"]*")|^\s*task: ([A-Z].*\S)$', re.M)
AGENTS: Mapping[str, Agent] = {agent.card.name: agent for agent in (ContentAgent(), CodeAgent())}
CARDS = [agent.card for agent in AGENTS.values()]


class SimulatedLLM(ScriptedLLM):
    """The simulator as the model of an agent."""

    def _next(self, call: ModelCall) -> str | Mapping[str, Any]:
        self.calls.append(call)
        turns = tuple(Turn(message.role, message.content) for message in call.messages)
        schema = None if call.schema is None else call.schema.model_json_schema()
        text = compose_answer(Prompt("m", turns, schema=schema), frozenset(), seed="0").text
        fields: Mapping[str, Any] = {} if schema is None else json.loads(text)
        return fields or text


class AnySearch(ScriptedSearch):
    """A search that finds one page for every query."""

    async def search(self, query: str, *, request_id: str) -> Sequence[SearchHit]:
        self.queries.append(query)
        return [build_hit(f"https://pages.net/{len(self.queries)}", title=query)]


async def route(task: str) -> str:
    """Returns the name of the agent that the router chooses; Unknown if it refuses the task."""
    try:
        return (await PeerAgent().route(build_context(SimulatedLLM(), task=task, cards=CARDS))).agent_name
    except UnknownTaskType:
        return "Unknown"


async def answer(
    task: str, agent: str, *, history: Sequence[Message] = (), search: ScriptedSearch | None = None
) -> AgentOutput:
    context = build_context(SimulatedLLM(), task=task, history=history, search=search or AnySearch())
    return await AGENTS[agent].run(context)


def functions_of(content: str) -> dict[str, Any]:
    """Runs the Python code of an answer and returns what it defines."""
    (block,) = code_blocks(content)
    assert block.language == "python"
    assert "simulator" not in block.code.lower(), "the remark belongs in the prose"
    defined: dict[str, Any] = {"__name__": "answer"}
    exec(compile(block.code, "answer", "exec"), defined)  # noqa: S102 - the simulator's own code
    return defined


# By function of an answer, inputs and what they must give.
RESULTS: Mapping[str, Sequence[tuple[tuple[Any, ...], Any]]] = {
    "is_prime": [((number,), number in {2, 3, 5, 7, 97, 7919}) for number in (*range(-3, 11), 91, 97, 7919, 7921)],
    "primes_up_to": [((11,), [2, 3, 5, 7, 11]), ((1,), []), ((4,), [2, 3])],
    "add": [((2, 3), 5), ((-1, 1), 0), ((0.5, 0.25), 0.75)],
    "reverse_string": [(("abc",), "cba"), (("",), ""), (("añb",), "bña")],
    "reverse_words": [(("the quick  fox",), "fox quick the"), (("one",), "one"), (("",), "")],
    "reverse_list": [(([1, 2, 3],), [3, 2, 1]), (([],), [])],
    "is_even": [((2,), True), ((-1,), False), ((0,), True)],
    "gcd": [((54, 24), 6), ((0, 5), 5), ((-4, 6), 2), ((0, 0), 0)],
    "is_leap_year": [((1900,), False), ((2000,), True), ((2024,), True), ((2023,), False)],
    "count_vowels": [(("Hello",), 2), (("xyz",), 0), (("AEIOU",), 5)],
    "sum_list": [(([1, 2],), 3), (([],), 0)],
    "square": [((3,), 9), ((-2,), 4)],
    "quicksort": [(([3, 1, 2, 1],), [1, 1, 2, 3]), (([],), [])],
    "merge_sort": [(([3, 1, 2, 1],), [1, 1, 2, 3]), (([],), [])],
    "is_palindrome": [(("Anna",), True), (("A man, a plan, a canal: Panama",), True), (("ab",), False)],
    "fizzbuzz": [((3,), "Fizz"), ((10,), "Buzz"), ((30,), "FizzBuzz"), ((7,), "7")],
    "factorial": [((0,), 1), ((5,), 120)],
    "fibonacci": [((0,), 0), ((1,), 1), ((10,), 55)],
    "binary_search": [(([1, 3, 5], 5), 2), (([1, 3, 5], 4), -1), (([], 1), -1)],
    "is_email": [(("ann@example.org",), True), (("ann@@example.org",), False), (("no at sign",), False)],
}


def is_code_that_works(name: str) -> Callable[[str], None]:
    """Builds the check of an answer whose code is to define the function."""

    def check(content: str) -> None:
        function = functions_of(content)[name]
        assert [function(*given) for given, _ in RESULTS[name]] == [result for _, result in RESULTS[name]]
        assert content.endswith(REMARK)

    return check


def is_article_about(*words: str) -> Callable[[str], None]:
    def check(content: str) -> None:
        assert all(word in content.lower() for word in words)
        assert len(content.split()) > 300
        assert "[1]" in content
        assert "\n## Sources\n\n1. " in content
        assert content.count(REMARK) == 1

    return check


def lists_the_best_customers(content: str) -> None:
    (block,) = code_blocks(content)
    assert block.language == "sql"
    tables, query = block.code.rsplit("\n\n", 1)
    with sqlite3.connect(":memory:") as database:
        database.executescript(tables)
        database.executemany("INSERT INTO customers VALUES (?, ?)", [(at, f"c{at}") for at in range(1, 13)])
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(at, at, at) for at in range(1, 12)])
        database.execute("INSERT INTO orders VALUES (99, 1, 100)")
        names = [name for _, name, *_ in database.execute(query)]
    assert names == ["c1", *(f"c{at}" for at in range(11, 2, -1))]


def explains_the_order(content: str) -> None:
    assert all(word in content for word in ("`order`", "`sorted`", "`key`"))
    assert content.endswith(REMARK)


def keeps_the_behaviour(content: str) -> None:
    assert functions_of(content)["f"](1) == 2


@dataclass(frozen=True)
class Example:
    """An example's agent, and the check of its answer."""

    agent: str
    check: Callable[[str], None]


def is_never_answered(_: str) -> None:
    pytest.fail("no agent can do it")


EXAMPLES = {
    "Write a Python function that checks whether a number is prime": Example(
        "CodeAgent", is_code_that_works("is_prime")
    ),
    "Write a Python function that adds two numbers.": Example("CodeAgent", is_code_that_works("add")),
    "Write a Python function that reverses the words of a sentence.": Example(
        "CodeAgent", is_code_that_works("reverse_words")
    ),
    "Refactor: def f(a):\n  return a+1": Example("CodeAgent", keeps_the_behaviour),
    "Write a short article about tidal energy": Example("ContentAgent", is_article_about("tidal energy")),
    "Write a short article about tides, with sources.": Example("ContentAgent", is_article_about("tides")),
    "Write a short article about how tides work, with sources.": Example(
        "ContentAgent", is_article_about("tides work")
    ),
    "Write an article about tidal energy in Europe": Example(
        "ContentAgent", is_article_about("tidal energy in europe")
    ),
    "Write a short article about the history of lighthouses": Example("ContentAgent", is_article_about("lighthouses")),
    "Write a SQL query that lists the ten best customers by revenue": Example("CodeAgent", lists_the_best_customers),
    next(scene.task for scene in SCENES if scene.label == "explanation"): Example("CodeAgent", explains_the_order),
    "Bake me a chocolate cake and bring it to my desk": Example("Unknown", is_never_answered),
}


def documented_tasks() -> Iterator[str]:
    for page in (file for pattern in PAGES for file in ROOT.glob(pattern)):
        for quoted, submitted, plain in _TASK.findall(page.read_text(encoding="utf-8")):
            yield plain or json.loads(quoted or submitted)
    # A follow-up needs what it follows: it has a test of its own below.
    yield from (scene.task for scene in SCENES if scene.label != "follow-up")


def test_every_example_of_the_documentation_is_tried() -> None:
    assert set(documented_tasks()) == set(EXAMPLES), "add the example, its agent and the check of its answer"


@pytest.mark.parametrize("task", EXAMPLES)
async def test_example_is_answered_by_the_right_agent(task: str) -> None:
    example = EXAMPLES[task]
    assert await route(task) == example.agent
    if example.agent in AGENTS:
        example.check((await answer(task, example.agent)).content)


async def test_follow_up_of_the_demo_has_as_many_sentences_as_it_asks_for() -> None:
    article, task = (scene.task for scene in SCENES if scene.label in ("article", "follow-up"))
    first = await answer(article, "ContentAgent")
    history = [
        build_message(MessageRole.USER, article),
        build_message(MessageRole.ASSISTANT, first.content, agent_name="ContentAgent"),
    ]
    content = (await answer(task, "ContentAgent", history=history)).content
    summary = content.split("\n\n## Sources")[0].removesuffix(REMARK).strip()
    assert "two sentences" in task
    assert len(re.findall(r"[.!?](?:\s|$)", summary)) == 2
    assert "tidal energy" in summary.lower()


@pytest.mark.parametrize(
    ("task", "part"),
    [
        ("What is 2+2?", "2 + 2 = 4"),
        ("2+2", "2 + 2 = 4"),
        ("What is (17 - 5) * 3 / 2?", "= 18"),
        ("Write a haiku about rain", "Soft rain on the roof"),
        ("Write a haiku about code", "One test has turned red"),
        ("Translate 'Good morning' into German", "Guten Morgen"),
        ("Translate hello to French", "Bonjour"),
        ("How do you say 'thank you' in Italian?", "Grazie"),
    ],
)
async def test_short_task_gets_its_answer_and_no_search(task: str, part: str) -> None:
    assert await route(task) == "ContentAgent"
    search = AnySearch()
    output = await answer(task, "ContentAgent", search=search)
    assert part in output.content
    assert len(output.content) < 120
    assert "simulator" not in output.content
    assert search.queries == []


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("Write a function that tests if n is prime", "is_prime"),
        ("is_prime in Python please, with type hints", "is_prime"),
        ("Write a primality test", "is_prime"),
        ("Write a Python function that prints all prime numbers up to n", "primes_up_to"),
        ("Reverse a string in Python", "reverse_string"),
        ("Write a Python function to reverse a given string", "reverse_string"),
        ("Write a function which reverses a list", "reverse_list"),
        ("Write code that checks whether a number is even or odd", "is_even"),
        ("Python function for the greatest common divisor", "gcd"),
        ("Write a function that checks for leap years", "is_leap_year"),
        ("Write a Python function that counts the vowels in a text", "count_vowels"),
        ("Write a function that sums the numbers of a list", "sum_list"),
        ("Write a Python function that squares a number", "square"),
        ("Implement quicksort in Python", "quicksort"),
        ("Write a Python function that sorts a list of numbers", "merge_sort"),
        ("Write a function that checks palindromes", "is_palindrome"),
        ("Write fizzbuzz in Python", "fizzbuzz"),
        ("Write a Python factorial function", "factorial"),
        ("Write a Python function for Fibonacci numbers", "fibonacci"),
        ("Write a binary search", "binary_search"),
        ("Write a function that validates email addresses", "is_email"),
    ],
)
async def test_task_of_their_kind_gets_code_that_works(task: str, name: str) -> None:
    assert await route(task) == "CodeAgent"
    is_code_that_works(name)((await answer(task, "CodeAgent")).content)
