from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm import joining
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
        # The end of a block, and of a line, that the rest brings.
        ("```py\nreturn a", "\n```\n\nDone.", "```py\nreturn a\n```\n\nDone."),
        ("```py\nreturn a", "```\n + b\n```", "```py\nreturn a + b\n```"),
        ("It ends here.", "Here is the rest:\n\n\n## More", "It ends here.\n## More"),
        # Indentation that is cut in two, and one that begins anew.
        ("    if a:\n    ", "    return", "    if a:\n        return"),
        ("        if a:\n        ", "        return", "        if a:\n                return"),
        ("if a:\n    ", "    return", "if a:\n    return"),
        ("if a:\n  ", "    return", "if a:\n    return"),
        ("if a:\n  ", "  return", "if a:\n    return"),
        ("a:\n  b: 1\n  c:\n  ", "  - d", "a:\n  b: 1\n  c:\n    - d"),
        # A line that is begun anew, however little of it there was.
        ("import os\nfrom ", "from app import x", "import os\nfrom app import x"),
        ("import os\nim", "import re", "import os\nimport re"),
        ("import os\n\nim", "\nimport re", "import os\n\nimport re"),
        ("from a import b\nf", "from c import d", "from a import b\nfrom c import d"),
        ("import llm\nl", "lm.run()", "import llm\nllm.run()"),
        # What comes again, and has to.
        ("if not x:\n    return", "\nreturn x", "if not x:\n    return\nreturn x"),
        ("# ----------", "----------\nx", "# --------------------\nx"),
        ("sha256:00000000000", "00000000001", "sha256:0000000000000000000001"),
    ],
)
def test_there_is_no_seam(so_far: str, rest: str, whole: str) -> None:
    assert join(so_far, rest) == whole


CODE_OF_THIS_PACKAGE = "".join(path.read_text() for path in sorted(Path(joining.__file__).parent.glob("*.py")))[:30_000]
ANSWER = f"The refactored code.\n\n```python\n{CODE_OF_THIS_PACKAGE}\n```\n\n**Changes**\n\n- None.\n"
SEAMS = range(40, len(ANSWER), 17)


def begin_the_line_anew(at: int) -> str:
    return ANSWER[ANSWER.rfind("\n", 0, at) + 1 :]


@pytest.mark.parametrize(
    ("habit", "most_seams"),
    [
        # Between two equal lines, the second one looks like the first one again.
        (lambda at: ANSWER[at:], 0.002),
        (lambda at: f"```python\n{ANSWER[at:]}" if in_code_block(ANSWER[:at]) else ANSWER[at:], 0.002),
        (lambda at: f"Here is the rest:\n\n{ANSWER[at:]}", 0.002),
        # After one letter, or a part of the indentation, nobody can tell whether the line goes on or begins anew.
        (begin_the_line_anew, 0.03),
    ],
    ids=["exactly", "with a fence", "with an introduction", "the line anew"],
)
def test_real_code_has_no_seam_wherever_it_is_cut(habit: Callable[[int], str], most_seams: float) -> None:
    seams = [at for at in SEAMS if join(ANSWER[:at], habit(at)) != ANSWER]
    assert len(seams) <= most_seams * len(SEAMS), [ANSWER[at - 30 : at + 30] for at in seams[:5]]


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
