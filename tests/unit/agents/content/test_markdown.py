"""The parts of a Markdown text and their places."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.content.markdown import Markdown, TooTangled, read_markdown


def prose(text: str) -> list[str]:
    return [text[start:end] for start, end in read_markdown(text).prose]


def links(text: str) -> list[tuple[str, str, str]]:
    """Returns what is written, its label and its target, of each link."""
    return [(text[link.start : link.end], text[slice(*link.label)], link.target) for link in read_markdown(text).links]


def test_a_text_without_marks_is_prose_and_needs_no_parser() -> None:
    assert read_markdown("Tides rise [1]. See a[2], 3 > 2.") == Markdown("Tides rise [1]. See a[2], 3 > 2.")
    assert prose("Tides [1].") == ["Tides [1]."]


def test_code_is_no_prose() -> None:
    text = "a `b` c\n\n```py\nd\n```\n\n- e\n\n      f\n\n> ~~~\n> g\n\nh ``i`"
    assert prose(text) == ["a ", " c\n\n", "\n- e\n\n", "\n", "\nh ``i`"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [b *c*](d 'e') f", [("[b *c*](d 'e')", "b *c*", "d")]),
        ("> a\n> [b\n> c](<d e>)", [("[b\n> c](<d e>)", "b\n> c", "d e")]),
        ("- a\n\t- [b](c)", [("[b](c)", "b", "c")]),
        ("## [a](b) ##", [("[a](b)", "a", "b")]),
        ("[a](b)\r\n[c](d)\r\n===", [("[a](b)", "a", "b"), ("[c](d)", "c", "d")]),
        ("[a](&#106;avascript:x)", [("[a](&#106;avascript:x)", "a", "javascript:x")]),
        (
            "<http://a.b> [![i](s)](t)",
            [("<http://a.b>", "", "http://a.b"), ("![i](s)", "i", "s"), ("[![i](s)](t)", "![i](s)", "t")],
        ),
        ("[a][r] [r]\n\n[r]: b", [("[a][r]", "a", "b"), ("[r]", "r", "b")]),
        ("\\[a](b) `[c](d)` [e] (f)", []),
    ],
)
def test_links_have_their_places(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert links(text) == expected


def test_a_link_ends_with_the_cell_of_a_table_for_some_readers() -> None:
    text = "| a | b |\n|---|---|\n| [c | d](e) | `f | [g](h)` |\n"
    assert ("[g](h)", "g", "h") not in links(text)  # the third cell is not shown
    assert ("[c | d](e)", "c | d", "e") in links(text)
    assert ("[c](d)", "c", "d") in links("| a | b |\n|---|---|\n| `x | [c](d)` |\n")


def test_a_cell_whose_text_is_not_in_the_source_has_no_place() -> None:
    text = "| a | b |\n|---|---|\n| x \\| [c](d) | e |\n"
    (span,) = read_markdown(text).unplaced
    assert text[slice(*span)] == "| x \\| [c](d) | e |\n"


@pytest.mark.parametrize(
    ("text", "cut", "target"),
    [
        ("a\n\n[r]: b\n\nc", "[r]: b\n", "b"),
        ("> [r]:\n> <b c>\n> 't\n> u'\nd", "> [r]:\n> <b c>\n> 't\n> u'\n", "b c"),
        ("- [r]: b\n  c", "[r]: b", "b"),
    ],
)
def test_definitions_have_their_places(text: str, cut: str, target: str) -> None:
    (definition,) = read_markdown(text).definitions
    assert (text[definition.start : definition.end], definition.target) == (cut, target)


def test_a_second_definition_of_a_label_is_found_too() -> None:
    assert [definition.target for definition in read_markdown("[a]: b\n[A]: c").definitions] == ["b", "c"]


def test_tags_and_stray_signs_of_a_block_have_their_places() -> None:
    text = "a <b>c</b>\n\n> <div\n> x>\n> 1 < 2 <i>\n"
    parts = [(text[part.start : part.end], part.text) for part in read_markdown(text).html]
    assert parts == [
        *(("<b>", "<b>"), ("</b>", "</b>")),
        *(("<div\n> x>", "<div\nx>"), ("<", "<"), ("<i>", "<i>")),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 25 + "x](y)" * 25,
        "> " * 20 + "[x](y)",
        "- " * 15 + "[x](y)",
        "[a](b) " + "[" * 2_000 + "]" * 2_000,
        "[\\]" * 5_000 + "](b)",
        "|a" * 60 + "\n" + "|-" * 60 + "\n" + "`x`\n" * 300,
    ],
)
def test_what_readers_see_differently_or_late_is_refused(text: str) -> None:
    with pytest.raises(TooTangled):
        read_markdown(text)


def test_reading_needs_no_deep_stack() -> None:
    limit = sys.getrecursionlimit()
    frame, depth = sys._getframe(), 0
    while frame.f_back:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + 250)
    try:
        assert links("[" * 15 + "x" + "](y)" * 15)
    finally:
        sys.setrecursionlimit(limit)


MARKUP = st.text(alphabet="ab[]()<>`*_!\\\n\r\t >-|#:&;/'\"1.\0", max_size=80)


@given(MARKUP)
def test_the_parts_lie_in_the_text_and_prose_is_what_they_leave(text: str) -> None:
    found = read_markdown(text)
    for link in found.links:
        assert 0 <= link.start <= link.label[0] <= link.label[1] <= link.end <= len(text)
    end = 0
    for start, stop in found.prose:
        assert end <= start < stop <= len(text)
        end = stop
    for start, stop in found.code:
        assert not any(start < prose_end and prose_start < stop for prose_start, prose_end in found.prose)


@given(MARKUP)
def test_every_tag_is_found_where_it_is_written(text: str) -> None:
    for part in read_markdown(text.replace("\0", "")).html:
        written = text.replace("\0", "")[part.start : part.end]
        assert written.startswith(part.text[:1])
        assert "\n" in part.text or written == part.text
