"""The ways in which models write citations."""

from __future__ import annotations

import pytest

from app.agents.content.citation_marks import Mark, numbers_of, read_marks, write_firm_marks, write_marks

KNOWN = (1, 2, 3)


def read(text: str, *, known: tuple[int, ...] = KNOWN) -> list[tuple[str, tuple[int, ...]]]:
    return [(text[mark.start : mark.end], mark.numbers) for mark in read_marks(text, [(0, len(text))], known=known)]


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        *(
            ("[2]", [2]),
            ("[ 2 ]", [2]),
            ("[1, 3]", [1, 3]),
            ("[1;3]", [1, 3]),
            ("[1-3]", [1, 2, 3]),
            ("[1–3]", [1, 2, 3]),
        ),
        *(
            ("[1 and 3]", [1, 3]),
            ("[1 & 2]", [1, 2]),
            ("[^2]", [2]),
            ("[^1, ^3]", [1, 3]),
            ("[[2]]", [2]),
            ("\\[2\\]", [2]),
        ),
        *(
            ("[#2]", [2]),
            ("【2】", [2]),
            ("【2†source】", [2]),
            ("【2†L1-L9】", [2]),
            ("[2†source]", [2]),
            ("［2］", [2]),
        ),
        *(("〔2〕", [2]), ("[Source 2]", [2]), ("[source: 2]", [2]), ("[Sources 1, 3]", [1, 3]), ("[Quelle 2]", [2])),
        *(
            ("[Ref. 2]", [2]),
            ("[来源2]", [2]),
            ("(source 2)", [2]),
            ("(Sources 1 and 3)", [1, 3]),
            ("(see source 2)", [2]),
        ),
        *(("（来源 2）", [2]), ("[٢]", [2]), ("[２]", [2])),
    ],
)
def test_a_citation_is_read_however_it_is_written(written: str, numbers: list[int]) -> None:
    for text in (
        f"Tides rise {written}.",
        f"Tides rise.{written} They",
        f"{written} states",
        f"**Tides** {written}, and",
    ):
        assert read(text) == [(written, tuple(numbers))]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        *(("Tides rise.² They", 2), ("“Tides”¹", 1), ("the tides³ rise", 3), ("tides[2].", 2), ("NASA[2],", 2)),
        *(("in 2030[3].", 3), ("(GDP)[1]", 1), ("潮汐[2]。", 2), ("вода[2],", 2), ("`x` [2]", 2), ("marées[1]", 1)),
        *(("as shown in [2]", 2), ("element [1] (see below)", 1), ("“tides”[1]", 1)),
    ],
)
def test_a_citation_is_read_right_behind_what_it_proves(text: str, numbers: int) -> None:
    assert [mark for _, mark in read(text)] == [(numbers,)]


def test_citations_follow_each_other() -> None:
    assert read("Tides [1][2]【3】.") == [("[1]", (1,)), ("[2]", (2,)), ("【3】", (3,))]
    assert read("tides[1][2]") == [("[1]", (1,)), ("[2]", (2,))]
    assert read("m[1][2]") == []


def test_words_in_brackets_with_a_number_are_a_citation() -> None:
    (mark,) = read_marks("See [the report][2].", [(0, 20)], known=KNOWN)
    assert mark == Mark(4, 19, (2,), label="the report ")
    assert read("x = [a, b][1] and a[b][1]") == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "[0]",
            "[0, 1]",
            "a[1]",
            "a[10]",
            "arr[2]",
            "f(x)[1]",
            "x_[1]",
            "a[i][1]",
            "array[2]",
            "items[1].name",
            "tides[9]",
        ),
        *(
            "A = [1]",
            "x ∈ [1, 2]",
            "[1, 2]^T",
            "[1] × [2]",
            "\\sqrt[3]{x}",
            "$x^{[1]}$",
            "the interval [1, 2]",
            "x in [1, 2]",
        ),
        *("das Intervall [1, 2]", "the vector [1, 2]", "the range [1-3]", "区间 [1, 2]", "[1, 9]", "[2-5]", "[2024]"),
        *(
            "x²",
            "km²",
            "10³",
            "(a+b)²",
            "sine²",
            "m⁻¹",
            "[x]",
            "[ ]",
            "[Figure 1]",
            "[1.5]",
            "[1, a]",
            "[-1]",
            "(1)",
            "(page 1)",
        ),
        *("A [^1].\n\n[^1]: Words of a note.",),
    ],
)
def test_other_numbers_are_no_citations(text: str) -> None:
    assert read(text) == []


def test_unknown_numbers_are_read_where_nothing_else_is_meant() -> None:
    assert read("Tides [9], 【9】, [Source 9] and 潮汐[9]。") == [
        *(("[9]", (9,)), ("【9】", (9,)), ("[Source 9]", (9,)), ("[9]", (9,))),
    ]
    assert read("Tides [9].", known=()) == [("[9]", (9,))]


def test_without_sources_entries_of_a_list_and_words_are_no_citations() -> None:
    assert read("[1] One\n- [2] Two\n\n(source 1) and [Source 1]", known=()) == []


def test_only_prose_is_read() -> None:
    text = "[1] `[2]` [3]"
    assert [mark.numbers for mark in read_marks(text, [(0, 4), (9, 13)], known=KNOWN)] == [(1,), (3,)]


@pytest.mark.parametrize(
    ("listed", "numbers"),
    [("1, 3-5", (1, 3, 4, 5)), ("5-3", (5, 3)), ("1; 1 , 2", (1, 2)), ("^1, ^2", (1, 2)), ("1 and 2", (1, 2))],
)
def test_lists_and_ranges_are_read(listed: str, numbers: tuple[int, ...]) -> None:
    assert numbers_of(listed) == numbers


def test_a_firm_mark_is_read_whatever_stands_beside_it() -> None:
    firm = write_firm_marks([2])
    for text in (f"a{firm}", f"= {firm}^2", f"interval {firm}", f"]{firm}(x)", f"x{firm}y"):
        assert read(text) == [(firm, (2,))]
    assert write_marks([1, 3]) == "[1][3]"
