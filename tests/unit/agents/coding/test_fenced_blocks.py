"""Fenced blocks: where they begin and end, and how their tags are read."""

from __future__ import annotations

import pytest

from app.agents.coding.fenced_blocks import FencedBlock, fenced_blocks, read_tag


def blocks(text: str) -> list[FencedBlock]:
    return list(fenced_blocks(text))


def test_sizes_are_those_of_the_code_without_its_quote() -> None:
    assert blocks("```py\nab\nc\n```") == [FencedBlock("python", 5)]
    assert blocks("> ```py\n> ab\n> c\n> ```") == [FencedBlock("python", 5)]


def test_a_block_that_is_not_closed_ends_with_its_quote_or_with_the_text() -> None:
    assert blocks("> ```py\n> a\nprose\n```js") == [FencedBlock("python", 2), FencedBlock("javascript", 0, True, False)]


def test_a_mark_of_a_quote_inside_a_block_is_code() -> None:
    assert blocks("```text\n> ```py\n```") == [FencedBlock(None, 8, is_code=False)]


def test_a_fence_that_is_indented_further_is_code() -> None:
    assert blocks("```py\n    ```\n```") == [FencedBlock("python", 8)]


def test_a_shorter_fence_or_one_of_another_sign_is_code() -> None:
    assert [block.size for block in blocks("````md\n```\n~~~~\n````")] == [9]


@pytest.mark.parametrize(
    ("info", "language", "is_code"),
    [
        ("", None, True),
        ("text", None, False),
        ("output of app.py", None, False),
        ("example in Go", "go", True),
        ("Emacs Lisp", "elisp", True),
        ("{.python .numberLines}", "python", True),
        ('filename="a.ts"', "typescript", True),
        ("x" * 100_000, None, True),
    ],
)
def test_the_first_word_that_says_something_decides(info: str, language: str | None, is_code: bool) -> None:
    assert read_tag(info) == (language, is_code)
