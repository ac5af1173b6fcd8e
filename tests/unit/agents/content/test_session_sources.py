"""One number for each page of a session."""

from __future__ import annotations

from collections.abc import Sequence

from app.agents.content.session_sources import MAX_SESSION_SOURCES, first_free_number, known_sources, number_session
from app.agents.content.state import ContentState, Source
from app.agents.history import to_turns
from app.agents.testing import build_message
from app.domain.agent import Citation
from app.domain.message import Message, MessageRole

LIST = "\n\n## Quellen\n\n1. A — https://a.net\n2. B — https://b.net"


def cite(*hosts: str) -> list[Citation]:
    return [Citation(source=host, title=host.upper(), url=f"https://{host}") for host in hosts]


def answer(content: str, *hosts: str) -> Message:
    return build_message(MessageRole.ASSISTANT, content, citations=cite(*hosts))


def question(content: str = "Go on [1]") -> Message:
    return build_message(MessageRole.USER, content)


def numbers(sources: Sequence[Source]) -> dict[str, int]:
    return {source["site"]: source["number"] for source in sources}


def test_each_answer_is_rewritten_to_the_numbers_of_the_session_and_loses_its_list() -> None:
    turns, sources = number_session(
        [
            question(),
            answer(f"One [1]. Two [2].{LIST}", "a.net", "b.net"),
            question(),
            answer("Two [1][2].", "b.net", "c.net"),
        ]
    )
    assert [turn["content"] for turn in turns] == ["Go on [1]", "One [1]. Two [2].", "Go on [1]", "Two [2][3]."]
    assert numbers(sources) == {"a.net": 1, "b.net": 2, "c.net": 3}
    assert sources[0] == Source(number=1, title="A.NET", url="https://a.net", site="a.net", excerpt="")


def test_two_ways_to_write_an_address_are_one_page() -> None:
    _, sources = number_session([answer("[1]", "a.net"), answer("[1]", "www.a.net/")])
    assert numbers(sources) == {"a.net": 1}


def test_code_and_other_brackets_of_an_answer_stay() -> None:
    text = "See `a[2]`, [0, 1] and x[2]. Two [2].\n\n```\nb[2] = [1]\n```"
    turns, _ = number_session([answer("Three [1].", "c.net"), answer(text, "a.net", "b.net")])
    assert turns[1]["content"] == text.replace("Two [2]", "Two [3]")


def test_a_number_without_a_page_goes() -> None:
    turns, _ = number_session([answer("One [1]. Nine [9].", "a.net")])
    assert turns[0]["content"] == "One [1]. Nine."


def test_an_answer_without_citations_stays_as_it_is() -> None:
    history = [question(), answer(f"Old [1].{LIST}")]
    assert number_session(history) == (to_turns(history), [])


def test_of_very_many_pages_those_of_the_newest_answers_are_kept() -> None:
    old = answer("Old [1].", *(f"old{number}.net" for number in range(MAX_SESSION_SOURCES)))
    turns, sources = number_session([old, answer("New [1].", "new.net")])
    assert numbers(sources) == {"new.net": 1}
    assert [turn["content"] for turn in turns] == ["Old.", "New [1]."]


def test_new_pages_get_the_number_after_all_that_are_in_use() -> None:
    turns, sources = number_session([answer("One [1].", "a.net", "b.net")])
    assert first_free_number(turns, sources) == 3
    assert first_free_number([], []) == 1


def test_the_numbers_of_an_answer_with_unknown_sources_are_in_use() -> None:
    assert first_free_number(to_turns([question("I count [7]"), answer("Old [2], `a` [4] and b[9].")]), []) == 5


def test_a_page_that_was_found_again_is_known_with_its_text() -> None:
    earlier = [Source(number=number, title="E", url="u", site="s", excerpt="") for number in (1, 2)]
    found = [Source(number=number, title="F", url="u", site="s", excerpt="x") for number in (3, 2)]
    state = ContentState(task="", today="", history=[], session_sources=earlier, sources=found)
    assert [(source["number"], source["title"]) for source in known_sources(state)] == [(1, "E"), (2, "F"), (3, "F")]
