"""The language of an answer."""

from __future__ import annotations

import pytest

from app.agents.coding.language import ALIASES, normalise_language, read_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("```python\nprint(1)\n```", "python"),
        ("```py\nprint(1)\n```", "python"),
        ("```JS\nf()\n```", "javascript"),
        ("```ts title=a.ts\nf()\n```", "typescript"),
        ("```{.sh}\nls\n```", "bash"),
        ("```c++\nint x;\n```", "cpp"),
        ("```c#\nint x;\n```", "csharp"),
        ("~~~ruby\nputs 1\n~~~", "ruby"),
        ("```python:src/a.py\nx\n```", "python"),
        ("```python\nnever closed", "python"),
        ("```python\r\nx\r\n```\r\n", "python"),
        ("  ```go\n  x\n  ```", "go"),
        ("```\nuntagged\n```", None),
        ("```text\noutput\n```", None),
        ("No code at all.", None),
        ("Inline `python` only.", None),
        ("", None),
    ],
)
def test_tag_of_the_fenced_block(text: str, language: str | None) -> None:
    assert read_language(text)[1] == language


def test_the_language_with_most_code_wins() -> None:
    text = "```bash\npip install x\n```\nthen\n```py\nimport x\nx.run_everything()\nx.stop()\n```"
    assert read_language(text)[1] == "python"


def test_a_fence_inside_a_longer_fence_is_part_of_it() -> None:
    assert read_language("````markdown\n# A\n```python\nx = 1\n```\n````")[1] == "markdown"


def test_a_tagged_fence_does_not_close_a_block() -> None:
    assert read_language("```text\n```python\n```\n")[1] is None


@pytest.mark.parametrize("line", ["Language: Python", "**Language:** py", "Language: `python3`  \n"])
def test_the_closing_line_names_the_language_of_an_explanation(line: str) -> None:
    assert read_language(f"It sorts the list.\n\n{line}") == ("It sorts the list.", "python")


def test_a_fenced_block_outweighs_the_closing_line() -> None:
    assert read_language("```go\nx\n```\nLanguage: Python") == ("```go\nx\n```", "go")


def test_a_sentence_about_a_language_is_no_closing_line() -> None:
    text = "Language: Python is what I chose."
    assert read_language(text) == (text, None)


def test_aliases_lead_to_names_that_are_no_aliases() -> None:
    assert all(normalise_language(name) == name for name in ALIASES.values())
    assert all(alias == alias.lower() for alias in ALIASES)
