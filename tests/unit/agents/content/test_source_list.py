"""The list of sources that models write themselves."""

from __future__ import annotations

import pytest

from app.agents.content.source_list import Split, listed_numbers, split_links, split_titled, without_source_list
from app.agents.fixed_texts import FixedTexts, read_translations

BODY = "# Title\n\nText [1]."


@pytest.mark.parametrize(
    "listed",
    [
        "## Sources\n\n1. A page\n2. Another",
        "**References**\n- [1] A page",
        "### Works Cited ###\n[1] A page",
        "References:\n\n[1]: https://a.example",
        "---\n## Bibliography\n* A page",
        "## Sources",
        "## Quellen\n\n1. A page",
        "**Fuentes:**\n- A page",
        "__Bronnen__\n\n* A page",
        "Sources :\n\n1. A page",
        "Quellen\n1. A page\n   https://a.example",
        "Références\n----------\n- A page",
        "### 5. Źródła 📚\n1. A page",
        "## Sources & References\n- A page",
        "## Fonti e riferimenti\n- A page",
        "## Источники\n\n1. A page",
        "## Πηγές\n\n1. A page",
        "## 参考文献\n\n1. A page",
        "**出典**：\n- A page",
        "## 참고 문헌\n\n1. A page",
        "## المصادر\n\n1. A page",
        "## स्रोत\n\n1. A page",
        "## Sources\n\n| n | page |\n|---|---|\n| 1 | A page |",
        "## Sources\n\nA page: https://a.example/x",
        "**Sources:** [1], [2]",
        "Sources: https://a.example/x; https://b.example/y",
    ],
)
def test_a_final_list_is_taken_out(listed: str) -> None:
    assert without_source_list(f"{BODY}\n\n{listed}\n") == BODY


@pytest.mark.parametrize(
    "kept",
    [
        "## Sources\n\nEnergy comes from many sources.",
        "## References\n\n1. A page\n\n## Conclusion\n\nText.",
        "## Shopping list\n\n- bread",
        "Text alone.",
        "",
        "Parts of a paper:\n\n- Methods\n- References",
        "Three words:\n\nSources",
        "Sources: the sun and the moon.",
        "## Sources of energy\n\n- the sun",
    ],
)
def test_other_sections_stay(kept: str) -> None:
    assert without_source_list(kept) == kept


@pytest.mark.parametrize("texts", read_translations().values(), ids=read_translations())
def test_the_list_that_the_check_adds_is_taken_out_of_earlier_answers(texts: FixedTexts) -> None:
    assert without_source_list(f"{BODY}\n\n## {texts.sources}\n\n1. A page — https://a.example/x") == BODY


def test_the_list_is_given_without_its_heading() -> None:
    assert split_titled(f"{BODY}\n\n## Quellen\n\n1. A page\n2. B") == Split(BODY, "1. A page\n2. B")


@pytest.mark.parametrize("heading", ["", "## Läs mer\n\n", "**Zum Weiterlesen**\n\n", "You can read more here:\n\n"])
def test_a_numbered_list_of_links_at_the_end_is_found_under_any_heading(heading: str) -> None:
    listed = "1. [A](https://a.example)\n[2] B, b.net/x"
    assert split_links(f"{BODY}\n\n{heading}{listed}\n") == Split(BODY, listed)
    assert listed_numbers(listed) == [1, 2]


@pytest.mark.parametrize("text", [BODY, f"{BODY}\n\n1. One\n2. Two", f"{BODY}\n\n- [A](https://a.example)"])
def test_other_lists_at_the_end_are_none_of_links(text: str) -> None:
    assert split_links(text).listed == ""
