"""The joint of a text that was cut off with its continuation: pure functions.

A model asked to go on often repeats the last words or the last line, opens the code block once more, or begins with a
sentence about going on. None of that may stay in the text.
"""

from __future__ import annotations

import itertools
import re
import statistics

# A repeated tail that is shorter may be chance: `  }` after `  }` is two braces.
_SURE_OVERLAP = 8
_LONGEST_OVERLAP = 2_000
_FENCE_LINE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n`]*$", re.M)
_REOPENED = re.compile(r"\A\s*(`{3,}|~{3,})[^\n`]*\n")
_INTRODUCTION = re.compile(
    r"\A\s*(?:sure|certainly|of course|okay|ok)?[,.!: ]*"
    # At most one empty line: a further one belongs to the text.
    r"(?:here(?:'s| is) the (?:rest|continuation)|continuing|continued)\b[^\n]{0,60}:[ \t]*\n\n?",
    re.I,
)
# Signs, spaces and runs of one letter may well come again: `}` after `}` closes another block, and indentation may be
# cut in two.
_WORD = re.compile(r"(\w)(?!\1)\w")
_BEGINNING = re.compile(r"\w+")
# At the end of a line, also before a comment.
_OPENS_BLOCK = re.compile(r"(?:[:{(\[]|[=-]>)(?:[ \t]+(?:#|//|--)[^\n]*)?\Z")


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
    begins_line = so_far.endswith("\n") or "\n" in rest[: reopened.start(1)]
    # Without a language, and at the beginning of a line, it closes the block.
    return rest[reopened.end() :] if names_language or not begins_line else rest


def _overlap(so_far: str, rest: str) -> int:
    """Counts the characters at the beginning of `rest` that repeat the end of `so_far`."""
    shortest = 1 if rest.startswith("\n") else _SURE_OVERLAP
    end = so_far[-_LONGEST_OVERLAP:]
    # Only where the end holds the first characters of `rest` can a repetition begin; the first place is the longest.
    for place in re.finditer(f"(?={re.escape(rest[:shortest])})", end):
        repeated = end[place.start() :]
        if len(repeated) >= shortest and rest.startswith(repeated) and _WORD.search(repeated):
            return len(repeated)
    line = so_far[so_far.rfind("\n") + 1 :]
    if not line.strip(" "):
        return len(line) if line and _indents_anew(so_far.rstrip(), len(line), rest) else 0
    # The unfinished line once more, perhaps without its indentation; a line break before it begins another one.
    unfinished, begun = line.lstrip(), rest.lstrip(" \t")
    again = begun.startswith(unfinished) and (
        _WORD.search(unfinished) if len(unfinished) > 1 else _is_known_word(begun, so_far)
    )
    return len(rest) - len(begun) + len(unfinished) if again else 0


def _is_known_word(begun: str, so_far: str) -> bool:
    """Checks whether `from` after `f` is the whole word: it came before, and `ffrom` did not."""
    word = _BEGINNING.match(begun)
    return word is not None and _came_before(word[0], so_far) and not _came_before(begun[0] + word[0], so_far)


def _came_before(word: str, so_far: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", so_far) is not None


def _indents_anew(before: str, width: int, rest: str) -> bool:
    """Checks whether `rest` has the whole indentation of a line of which `so_far` has already `width` spaces.

    Both ways to read it are possible, so the line before decides: it is deeper after one that opens a block, and
    otherwise not.
    """
    anew = len(rest) - len(rest.lstrip(" "))
    if anew < width:
        return False
    # The dash of a list in YAML belongs to the indentation.
    depths = [len(line) - len(line.lstrip(" -")) for line in before.split("\n") if line.strip()]
    steps = [after - depth for depth, after in itertools.pairwise(depths) if after > depth]
    step, last = statistics.mode(steps or [4]), depths[-1] if depths else 0
    opens = _OPENS_BLOCK.search(before[before.rfind("\n") + 1 :]) is not None

    def fits(depth: int) -> bool:
        return depth == last + step if opens else depth <= last and depth % step == 0

    return fits(anew) and not fits(width + anew)
