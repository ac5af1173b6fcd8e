from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.joining import in_code_block, join

CODE = "Here it is:\n\n```python\ndef total(values):\n    return su"


@pytest.mark.parametrize(
    ("so_far", "rest", "whole"),
    [
        ("Once upon a ti", "me.", "Once upon a time."),
        ("Once upon a time ", "there was.", "Once upon a time there was."),
        ("It was the best of times", "the best of times, the worst.", "It was the best of times, the worst."),
        ("It ends here", "Here is the rest:\n\n and goes on.", "It ends here and goes on."),
        ("It ends here", "Sure, continuing from there:\n and goes on.", "It ends here and goes on."),
        (CODE, "m(values)\n```\n", f"{CODE}m(values)\n```\n"),
        (CODE, "```python\nm(values)\n```\n", f"{CODE}m(values)\n```\n"),
        (CODE, "    return sum(values)\n```\n", f"{CODE}m(values)\n```\n"),
        (CODE, "return sum(values)\n```\n", f"{CODE}m(values)\n```\n"),
        (CODE, "```python\n    return sum(values)\n```\n", f"{CODE}m(values)\n```\n"),
        ("```js\nlet a = 1;\n", "```\nDone.", "```js\nlet a = 1;\n```\nDone."),
        ("```js\nlet a = 1;\n", "```js\nlet b = 2;\n```", "```js\nlet a = 1;\nlet b = 2;\n```"),
        ("```js\nlet first = 1;\n", "let first = 1;\nlet b = 2;\n", "```js\nlet first = 1;\nlet b = 2;\n"),
        ("```js\nif (a) {\n  }\n", "}\n```", "```js\nif (a) {\n  }\n}\n```"),
        ("Text.\n\n", "```js\nlet a;\n```", "Text.\n\n```js\nlet a;\n```"),
        ("```js\nf(() => {\n  g(() => {\n  }", "\n}\n```", "```js\nf(() => {\n  g(() => {\n  }\n}\n```"),
        ("It tells of ", "continued growth in Asia.\n\nNext", "It tells of continued growth in Asia.\n\nNext"),
        ("中文回答在这", "里继续。", "中文回答在这里继续。"),
    ],
)
def test_there_is_no_seam(so_far: str, rest: str, whole: str) -> None:
    assert join(so_far, rest) == whole


@given(st.text(max_size=200), st.text(max_size=200))
def test_what_was_written_stays_and_nothing_is_invented(so_far: str, rest: str) -> None:
    joined = join(so_far, rest)
    assert joined.startswith(so_far)
    assert rest.endswith(joined[len(so_far) :])


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("", False),
        ("```", True),
        ("```py\na\n```\n", False),
        ("````md\n```\n", True),
        ("~~~\n```\n", True),
        ("use `a` and ```b``` here", False),
    ],
)
def test_a_block_is_open_until_its_own_fence_closes_it(text: str, inside: bool) -> None:
    assert in_code_block(text) is inside
