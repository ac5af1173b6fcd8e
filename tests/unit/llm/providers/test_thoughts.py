from __future__ import annotations

import pytest

from app.llm.providers.thoughts import ThoughtFilter, without_thoughts

HARMONY = "<|channel|>analysis<|message|>The user wants a city.<|end|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>"
MARKED = [
    ("<THINK>Oslo or Bergen?</Think>\n\nOslo.", "Oslo."),
    ("<thinking>Oslo or Bergen?</thinking>Oslo.", "Oslo."),
    (" <thought>\nOslo or Bergen?\n</thought>\nOslo.", "Oslo."),
    ("<reasoning>Oslo or Bergen?</reasoning>Oslo.", "Oslo."),
    ("<seed:think>Oslo or Bergen?</seed:think>Oslo.", "Oslo."),
    ("[THINK]Oslo or Bergen?[/THINK]Oslo.", "Oslo."),
    ("◁think▷Oslo or Bergen?◁/think▷Oslo.", "Oslo."),
    (f"{HARMONY}{FINAL}Oslo.", "Oslo."),
    (f"{HARMONY}{FINAL}Oslo.<|return|>", "Oslo."),
    (f"<|start|>assistant{HARMONY}{FINAL}Oslo.<|end|>\n", "Oslo."),
    (f"{HARMONY}{FINAL.replace('final', 'final <|constrain|>json')}" + '{"a": 1}', '{"a": 1}'),
    (
        f"{HARMONY}<|start|>assistant<|channel|>commentary to=functions.search<|message|>{{}}<|call|>{FINAL}Oslo.",
        "Oslo.",
    ),
    ("<|channel|>final<|message|>Oslo.", "Oslo."),
    ("<|channel|>final<|message|>It ends with `<|end|>`, or so.", "It ends with `<|end|>`, or so."),
    (f"{HARMONY}", ""),
    ("<think>never ends", ""),
    ("<think>Oslo?</think><think> is a tag.", "<think> is a tag."),
    ("<think>Oslo?</think>Oslo.\n</think>\nBergen.", "Oslo.\n</think>\nBergen."),
]
ABOUT_MARKS = [
    "<b>Oslo</b> <think>no</think>",
    "<thinker>Rodin</thinker>",
    "[THINKING] is no mark",
    "The model writes <think>, then its thoughts, then </think>\nand its answer.",
    "Models open with `<think>`.\n</think>\nends it.",
    '<reasoning step="1">\nBecause.\n</reasoning>\nOslo.',
    "Close it with </think>\nand go on.",
    "The closing mark is\n</think>, the opening one is missing.",
    "The closing mark is\n</think> and nothing else.",
    "text.split('</think>')[1]",
    "re.sub('.</think>', '', text)",
    "It ends.</think>Then comes the answer.",
    '{"text": "It ends.\n</think>\nThen comes the answer"}',
    "<prompt>\n  Weigh the options.\n</thinking>\n<answer>",
    "Because.\n</reasoning>\nOslo.",
    "```html\n</think>\n```",
    "```\nThoughts.\n</think>Oslo\n```",
    "gpt-oss writes <|channel|>final<|message|> first.",
    "◁",
    "<|channel|>",
    " \n",
    "",
]


def read_in_pieces(text: str, size: int) -> str:
    thoughts = ThoughtFilter()
    pieces = [thoughts.feed(text[at : at + size]) for at in range(0, len(text), size)]
    return "".join([*pieces, thoughts.feed("", last=True)])


@pytest.mark.parametrize(("text", "answer"), MARKED)
def test_marked_thinking_is_taken_off_wherever_the_text_is_cut(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer
    assert [read_in_pieces(text, size) for size in range(1, len(text) + 1)] == [answer] * len(text)


@pytest.mark.parametrize("text", ABOUT_MARKS)
def test_a_text_about_marks_stays_whole(text: str) -> None:
    assert without_thoughts(text) == text
    assert [read_in_pieces(text, size) for size in range(1, len(text) + 1)] == [text] * len(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The user wants a city.\n</think>\nOslo.", "Oslo."),
        ("The user wants a city.\n</think>Oslo", "Oslo"),
        ("The user wants a city.\n</THINK>\r\n\r\nOslo", "Oslo"),
        ("The user wants a city.\n</think> Oslo", "Oslo"),
        ("The user wants a city.\n</think>```python\n1\n```", "```python\n1\n```"),
        ('The user wants a city.\n</think>{"name": "Oslo"}', '{"name": "Oslo"}'),
        ("The user wants a city.</think>\n\nOslo.", "Oslo."),
        ("城市。</think>\n奥斯陆", "奥斯陆"),
        ("I end this with `</think>` now.\n</think>\nOslo.", "Oslo."),
        ("The user wants a city.\n[/THINK]Oslo", "Oslo"),
        ("The user wants a city.\n◁/think▷Oslo", "Oslo"),
        ("The user wants a city.\n</seed:think>Oslo", "Oslo"),
        ("</think>Oslo", "Oslo"),
    ],
)
def test_half_marked_thinking_is_taken_off(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer


def test_endless_thinking_is_not_kept_in_memory() -> None:
    thoughts = ThoughtFilter()
    assert [thoughts.feed(opening) for opening in ("<thi", "nk>")] == ["", ""]
    for _ in range(1_000):
        assert thoughts.feed("Hm. " * 60) == ""
    assert len(str(vars(thoughts))) < 1_000
    assert thoughts.feed("</think>\n") + thoughts.feed("\nOslo.") == "Oslo."
