"""The joint of a text that was cut off with its continuation: pure functions.

A model asked to go on often repeats the last words or the last line, opens the code block once more, or begins with a
sentence about going on. None of that may stay in the text.
"""

from __future__ import annotations

import re

# A repeated tail that is shorter may be chance: `  }` after `  }` is two braces.
_SURE_OVERLAP = 8
_LONGEST_OVERLAP = 2_000
_FENCE_LINE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n`]*$", re.M)
_REOPENED = re.compile(r"\A\s*(`{3,}|~{3,})[^\n`]*\n")
_INTRODUCTION = re.compile(
    r"\A\s*(?:sure|certainly|of course|okay|ok)?[,.!: ]*"
    r"(?:here(?:'s| is) the (?:rest|continuation)|continuing|continued)\b[^\n]{0,60}:[ \t]*\n+",
    re.I,
)
# An unfinished line of signs alone may well come again: `}` after `}` closes another block.
_WORDS = re.compile(r"\w{3}")


def join(so_far: str, rest: str) -> str:
    """Joins both parts without a seam."""
    rest = _INTRODUCTION.sub("", rest, count=1)
    if in_code_block(so_far):
        rest = _without_reopening(so_far, rest)
    return so_far + rest[_overlap(so_far, rest) :]


def in_code_block(text: str) -> bool:
    """Checks whether the text ends inside a fenced code block."""
    fence = ""
    for match in _FENCE_LINE.finditer(text):
        marks = match.group(1)
        if not fence:
            fence = marks
        elif marks.startswith(fence) and match.group().strip() == marks:
            fence = ""
    return bool(fence)


def _without_reopening(so_far: str, rest: str) -> str:
    reopened = _REOPENED.match(rest)
    if reopened is None:
        return rest
    names_language = bool(reopened.group().strip().strip("`~"))
    # Without a language, and at the beginning of a line, it closes the block.
    return rest[reopened.end() :] if names_language or not so_far.endswith("\n") else rest


def _overlap(so_far: str, rest: str) -> int:
    """Counts the characters at the beginning of `rest` that repeat the end of `so_far`."""
    for length in range(min(len(so_far), len(rest), _LONGEST_OVERLAP), _SURE_OVERLAP - 1, -1):
        if so_far.endswith(rest[:length]):
            return length
    # The unfinished line once more, perhaps without its indentation.
    unfinished = so_far[so_far.rfind("\n") + 1 :].strip()
    begun = rest.lstrip()
    return len(rest) - len(begun) + len(unfinished) if _WORDS.search(unfinished) and begun.startswith(unfinished) else 0
