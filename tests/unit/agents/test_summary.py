"""The short text of a result."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.fixed_texts import read_translations
from app.agents.summary import SUMMARY_CHARACTERS, summarise
from app.domain.agent import AgentOutput, Citation, CutOff

ONE = Citation(source="one.net", title="First", url="https://one.net/a")
TWO = Citation(source="two.net", title="Second", url="https://two.net/b?c=1")


def summary(content: str, *, code_language: str | None = None, citations: tuple[Citation, ...] = ()) -> str:
    return summarise(
        AgentOutput(agent_name="ContentAgent", content=content, code_language=code_language, citations=citations)
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Plain words.", "Plain words."),
        (
            "# Title\n\n> **Note**: not searched.\n\nThe *first* `thing`. The **second**.",
            "The first thing. The second.",
        ),
        ("See [the docs](https://a.example/x) now.", "See the docs now."),
        ("- one\n- two", "one two"),
        ("Intro.\n\n```python\nx = 1\n```\n\nAfter.", "Intro. After."),
        ("# Only a title", "Only a title"),
        ("***very important*** and ~~old~~", "very important and old"),
        ("**a *b* c** and __d e__ and _f_", "a b c and d e and f"),
        ("**API**s and 这是**重点**内容", "APIs and 这是重点内容"),
        ("", ""),
    ],
)
def test_markdown_is_stripped(content: str, expected: str) -> None:
    assert summary(content) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2*3*4 is 24.",
        "f(x)*g(x)*h(x) and 5*x+3*y",
        "a * b * c and 2**3**2",
        "Call __init__ and __all__.",
        "snake_case_name stays, and _private too",
        "See a[10] and the interval [0, 1].",
        "about ~5 to ~6",
    ],
)
def test_signs_that_are_no_markdown_stay(text: str) -> None:
    assert summary(text) == text


def test_code_inside_a_sentence_and_escaped_signs_stay_as_they_are() -> None:
    assert summary("**Use `a*b*c` and `__x y__`** with \\*args\\*.") == "Use a*b*c and __x y__ with *args*."
    assert summary("``a ` b`` is code, \0 is not") == "a ` b is code, is not"


def test_citations_and_their_list_are_left_out() -> None:
    content = (
        "Tides rise [1][2]. See x[7].\n\n## Quellen\n\n1. First — https://one.net/a\n2. [Second](https://two.net/b?c=1)"
    )
    assert summary(content, citations=(ONE, TWO)) == "Tides rise. See x[7]."


def test_an_answer_of_nothing_but_sources_has_a_summary() -> None:
    assert summary("1. First — https://one.net/a", citations=(ONE,)) == "1. First — https://one.net/a"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\nBelow.", "Below."),
        ("Above.\n\na | b\n--- | :-:\n1 | 2\n\nBelow.", "Above. Below."),
        ("| City | Size |\n|:--|--:|\n| Oslo | 1 |\n| Rome | 3 |", "City, Size; Oslo, 1; Rome, 3"),
        ("# Cities\n\nCity | Size\n---|---\nOslo | 1", "Cities City, Size; Oslo, 1"),
        ("Choose `a | b` or c | d.", "Choose a | b or c | d."),
    ],
)
def test_tables_are_skipped_or_made_readable(content: str, expected: str) -> None:
    assert summary(content) == expected


def test_whole_sentences_while_they_fit() -> None:
    sentence = "This is a sentence of some length. "
    result = summary(sentence * 50)
    assert result.endswith("length.")
    assert SUMMARY_CHARACTERS - len(sentence) < len(result) <= SUMMARY_CHARACTERS


@pytest.mark.parametrize(
    "sentence",
    [
        "هل هذا سؤال طويل بما فيه الكفاية؟ ",
        "یہ ایک جملہ ہے جو کافی لمبا ہے۔ ",  # noqa: RUF001 - its full stop is what is tested
        "यह एक वाक्य है जो काफी लंबा है। ",
        "这是一个足够长的句子。",
        "これは質問ですか？",  # noqa: RUF001 - likewise
        "「これは引用です。」",
        "太好了！",  # noqa: RUF001 - likewise
        "ይህ በቂ ርዝመት ያለው ዓረፍተ ነገር ነው። ",
        "ဒါက ဝါကျတစ်ခုပါ။ ",
        "នេះជាប្រយោគមួយ។ ",
        "Սա նախադասություն է։ ",  # noqa: RUF001 - likewise
        "Er sagte: „Das ist gut.“ ",
        "Elle rit… ",
        "Really?! ",
        "It costs 3.14 euros (e.g.today). ",
    ],
)
def test_sentences_end_as_they_do_in_their_script(sentence: str) -> None:
    result = summary(sentence * 100)
    assert result.endswith(sentence.strip())
    assert SUMMARY_CHARACTERS - len(sentence) <= len(result) <= SUMMARY_CHARACTERS
    assert result == (sentence * 100)[: len(result)]


def test_a_first_sentence_that_is_too_long_is_cut_between_words() -> None:
    result = summary("word " * 200)
    assert result.endswith("word…")
    assert len(result) <= SUMMARY_CHARACTERS


@pytest.mark.parametrize(
    "grapheme",
    [
        "e\u0301\u0323",
        "\U0001f469\U0001f3fd\u200d\U0001f680",
        "\u2764\ufe0f\u200d\U0001f525",
        "\U0001f1e9\U0001f1ea",
        "1\ufe0f\u20e3",
        "\u1112\u1161\u11ab",
        "क्षि",
        "นี้",
        "نَّ",
    ],
)
@pytest.mark.parametrize("shift", range(5))
def test_a_word_without_spaces_is_cut_between_graphemes(grapheme: str, shift: int) -> None:
    result = summary("x" * shift + grapheme * 300)
    body = result.removesuffix("…")[shift:]
    assert body == grapheme * (len(body) // len(grapheme))
    assert len(result) > SUMMARY_CHARACTERS - 10


def test_the_summary_of_code_alone_states_its_length() -> None:
    assert summary("```python\nx = 1\ny = 2\n```", code_language="python") == "Code in python, 2 lines."
    assert summary("```\nx\n```") == "Code in an unnamed language, 1 line."


@given(st.text() | st.text(alphabet="a1*_`~[]()|-\\ \n.#>"))
def test_it_is_one_short_line_and_empty_only_for_an_empty_answer(content: str) -> None:
    result = summary(content)
    assert len(result) <= SUMMARY_CHARACTERS
    assert "\n" not in result
    assert bool(result.strip()) == bool(content.strip())


def test_a_long_hostile_answer_is_summarised_in_time() -> None:
    for piece in (
        "`",
        "``a`",
        "[",
        "*",
        "**a",
        "_",
        "_a ",
        "> ",
        "```\n",
        "a.",
        "- ",
        "a | b\n",
        "|",
        "\u0301",
        "\U0001f1e9",
    ):
        summary(piece * (60_000 // len(piece)))


REASONS = {
    CutOff.LIMIT: "[cut off at AGENT_MAX_TOKENS]",
    CutOff.BUDGET: "[cut off: the budget is used up]",
    CutOff.FAULT: "[cut off: it could not be continued]",
}


@pytest.mark.parametrize("cut_off", CutOff)
@pytest.mark.parametrize("content", ["A short answer that", "word " * 500])
def test_the_summary_of_an_answer_that_was_cut_off_ends_with_the_reason(content: str, cut_off: CutOff) -> None:
    told = summarise(AgentOutput(agent_name="ContentAgent", content=content, truncated=True, cut_off=cut_off))
    assert told.endswith(REASONS[cut_off])
    assert len(told) <= SUMMARY_CHARACTERS


def test_an_agent_that_gives_no_reason_means_the_limit() -> None:
    assert summarise(AgentOutput(agent_name="A", content="Once", truncated=True)).endswith(REASONS[CutOff.LIMIT])


@pytest.mark.parametrize("language", read_translations())
@pytest.mark.parametrize("cut_off", CutOff)
def test_the_reason_is_in_the_language_of_the_answer(language: str, cut_off: CutOff) -> None:
    texts = read_translations()[language]
    content = f"{texts.not_searched} {texts.partial}"
    output = AgentOutput(agent_name="A", content=content, truncated=True, cut_off=cut_off)
    reason = {
        CutOff.LIMIT: texts.cut_at_limit,
        CutOff.BUDGET: texts.cut_by_budget,
        CutOff.FAULT: texts.cut_by_fault,
    }
    told = summarise(output)
    assert told.endswith(f" [{reason[cut_off]}]")
    assert len(told) <= SUMMARY_CHARACTERS


def test_the_reason_is_in_the_language_of_the_task_if_the_answer_is_code() -> None:
    output = AgentOutput(agent_name="A", content="```python\nx = 1\n```", truncated=True, cut_off=CutOff.BUDGET)
    assert summarise(output, task="Schreibe bitte eine Funktion, die eine Liste umdreht.").endswith(
        "[abgebrochen: Das Budget ist aufgebraucht]"
    )
