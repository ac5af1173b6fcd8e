"""The thinking that some models write into their answers, between marks, where it is no part of the answer.

An opening mark counts only at the beginning of an answer: anywhere else the answer may be about it. Chat templates may
put the opening mark into the prompt, so a closing one without it counts too, but only where no prose and no code has
one: see `_ends_thinking`. Closing marks after the first are part of the answer.
"""

from __future__ import annotations

import re
from itertools import islice

_TAGS = ("think", "thinking", "thought", "reasoning", "seed:think")
# Of Mistral and of Kimi.
_OTHER_PAIRS = {"[think]": "[/think]", "◁think▷": "◁/think▷"}
_PAIRS = {f"<{tag}>": f"</{tag}>" for tag in _TAGS} | _OTHER_PAIRS
# The harmony form of gpt-oss: its messages are on channels, and only that on `final` is for the reader.
_FINAL = re.compile(r"<\|channel\|>\s{0,9}final\b[^<]{0,80}(?:<\|constrain\|>[^<]{0,80})?<\|message\|>")
_HARMONY = ("<|start|>assistant<|channel|>", "<|channel|>analysis", "<|channel|>commentary", "<|channel|>final")
_CLOSING_OF = {opening: re.compile(re.escape(closing), re.I) for opening, closing in _PAIRS.items()}
_CLOSING_OF |= dict.fromkeys(_HARMONY, _FINAL)
_OPENING = re.compile("|".join(map(re.escape, _CLOSING_OF)), re.I)
# The marks of models whose chat templates open them. The others are more likely those of a text about prompts.
_CLOSING = re.compile("|".join(map(re.escape, ("</think>", "</seed:think>", *_OTHER_PAIRS.values()))), re.I)
# More characters than the longest closing mark has, or the end of a harmony message.
_LONGEST_MARK = 256
_LONGEST_END = 64
_END_OF_FINAL = re.compile(r"<\|(?:return|end)\|>\s{0,40}\Z")
# More closing marks than a model writes into its thinking.
_MOST_CLOSINGS = 20
_SENTENCE_ENDS = tuple(".!?…。！？")  # noqa: RUF001 - the full-width ones of Chinese
_LINE_END = re.compile(r"[ \t]*\r?\n")
_ANSWER = re.compile(r"```|[^\s`'\",.;:)\]]|[ \t]+[A-Z0-9{*#]")


class ThoughtFilter:
    """The filter that takes the thinking off a text which comes in pieces, wherever it is cut.

    A closing mark without an opening one is found only in the first piece: the text before it may be an answer.
    """

    def __init__(self) -> None:
        self._held = ""
        self._closing: re.Pattern[str] | None = None
        self._answering = False
        self._at_start = False
        self._in_final = False

    def feed(self, piece: str, *, last: bool = False) -> str:
        """Returns the next part of the answer; `last` ends the text, so that nothing is held back any longer."""
        self._held += piece
        if not self._answering and self._closing is None:
            self._look_for_opening(last=last)
        if self._closing is not None:
            self._look_for_closing(self._closing)
        return self._release(last=last) if self._answering else ""

    def _look_for_opening(self, *, last: bool) -> None:
        begun = self._held.lstrip()
        opening = _OPENING.match(begun)
        if opening is not None:
            self._closing = _CLOSING_OF[opening[0].lower()]
        elif last or not _may_open(begun):
            self._answering = True
            self._held = _without_unopened(self._held)

    def _look_for_closing(self, closing: re.Pattern[str]) -> None:
        end = closing.search(self._held)
        if end is None:
            self._held = self._held[-_LONGEST_MARK:]
            return
        self._held = self._held[end.end() :]
        self._closing = None
        self._answering = self._at_start = True
        self._in_final = closing is _FINAL

    def _release(self, *, last: bool) -> str:
        if self._at_start:
            self._held = self._held.lstrip()
            self._at_start = not self._held
        text, self._held = self._held, ""
        if self._in_final and last:
            return _END_OF_FINAL.sub("", text)
        if self._in_final:
            text, self._held = text[:-_LONGEST_END], text[-_LONGEST_END:]
        return text


def without_thoughts(text: str) -> str:
    """Removes the thinking that some models write before their answer, also if only its end is marked."""
    return ThoughtFilter().feed(text, last=True)


def _may_open(begun: str) -> bool:
    """Checks whether more text may make an opening mark of it."""
    start = begun.lower()
    return any(opening.startswith(start) for opening in _CLOSING_OF)


def _without_unopened(text: str) -> str:
    """Removes the thinking whose opening mark the server has put into the prompt."""
    if text.lstrip().startswith("{"):
        return text  # JSON, which may have a mark in one of its strings
    for mark in islice(_CLOSING.finditer(text), _MOST_CLOSINGS):
        before = text[: mark.start()]
        opening = mark[0].lower().replace("/", "")[:-1]  # without its end: it may have attributes
        if "```" in before or opening in before.lower():
            return text
        if _ends_thinking(before, text, mark.end()):
            return text[mark.end() :].lstrip()
    return text


def _ends_thinking(before: str, text: str, after: int) -> bool:
    """Checks whether a closing mark is where models write it.

    That is at the beginning of a line, with the answer on this or the next line, or at the end of a sentence, with the
    answer on the next line. A mark in quotation marks, or with a comma after it, is one that the text is about.
    """
    if _LINE_END.match(text, after):
        return before.endswith(("\n", *_SENTENCE_ENDS)) or not before
    return (before.endswith("\n") or not before) and _ANSWER.match(text, after) is not None
