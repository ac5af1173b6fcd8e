"""The edits that each kind of part gets."""

from __future__ import annotations

import pytest

from app.agents.content.edits import apply_edits
from app.agents.content.markdown import read_markdown
from app.agents.content.pages import Pages
from app.agents.content.removal import removal_edits
from app.agents.content.state import Source

SOURCES = [
    Source(number=number, title=f"Page {number}", url=url, site=url.split("/")[2], excerpt="…")
    for number, url in enumerate(("https://one.net/a", "https://two.net/b?x=1"), 1)
]
PAGES = Pages(SOURCES, user_text="A page for https://acme.net/join")


def edited(text: str) -> tuple[str, int]:
    """Returns the text after one reading, and how much was dropped."""
    edits = removal_edits(read_markdown(text), PAGES, known=frozenset({1, 2}), removed=lambda: "(gone)")
    return apply_edits(text, edits)


@pytest.mark.parametrize(
    ("text", "expected", "dropped"),
    [
        ("A [page](https://one.net/a).", "A page 【1】.", 0),
        ("A [https://one.net/a](https://one.net/a/).", "A 【1】.", 0),
        ("A<https://two.net/b?x=1>", "A 【2】", 0),
        ("A [page][r].\n\n[r]: https://two.net/b?x=1", "A page 【2】.\n\n", 0),
        ("A [own][r].\n\n[r]: https://acme.net/join", "A [own](<https://acme.net/join>).\n\n", 0),
        ("A [report][r].\n\n[r]: //evil.net/x", "A report.\n\n", 1),
        ("Fact [1].\n\n[1]: //evil.net/x", "Fact [1].\n\n", 1),
        ("Fact [2].\n\n[2]: https://one.net/a", "Fact 【1】.\n\n", 0),
        ("A [2](#ref2), [1]() and [2](source)", "A 【2】, 【1】 and 【2】", 0),
        ("A [1](//evil.net/x) [page](//evil.net/x)", "A  page", 2),
        ("A ![chart](https://one.net/a) ![own](https://acme.net/join)", "A chart 【1】 own", 1),
        ("A <https://evil.net/x> <a@evil.net>", "A (gone) (gone)", 2),
        ("A [own](https://acme.net/join 'see evil.net/x')", "A own", 1),
        ("<a href='https://one.net/a'>the page</a>.", "the page 【1】.", 0),
        ("<a href=https://one.net/a>the page", "【1】 the page", 0),
        ("<a href='//evil.net/x'>the <b>page</b></a>.", "the <b>page</b>.", 1),
        ("<a href='https://acme.net/join'>own</a>", "<a href='https://acme.net/join'>own</a>", 0),
        ("<img src='//evil.net/x' alt='A chart'>", "A chart", 1),
        ("tides<sup>2</sup> and x<sup>2</sup>", "tides 【2】 and x<sup>2</sup>", 0),
        ("1 < 2\n\n<div>\n1 < 2\n</div>", "1 < 2\n\n<div>\n1 &lt; 2\n</div>", 0),
        ("See one.net/a, evil.net/x and acme.net/join.", "See 【1】, (gone) and acme.net/join.", 1),
        ("`curl https://evil.net/x https://one.net/a evil.net/x`", "`curl (gone) https://one.net/a evil.net/x`", 1),
        ("```//evil.net/x\ncode\n```", "```(gone)\ncode\n```", 1),
        ("|a|b|\n|--|--|\n| `x | [c](//evil.net) \\| y` |", "|a|b|\n|--|--|\n| `x | c]((gone)) \\| y` |", 1),
    ],
)
def test_each_part_has_its_rule(text: str, expected: str, dropped: int) -> None:
    assert edited(text) == (expected, dropped)
