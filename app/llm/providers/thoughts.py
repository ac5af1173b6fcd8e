"""The thinking that some models write into their answers, between marks, where it is no part of the answer."""

from __future__ import annotations

_OPENING = ("<think>", "<thinking>", "<reasoning>", "<thought>")
_CLOSING = {opening: opening.replace("<", "</") for opening in _OPENING}


def without_thoughts(text: str) -> str:
    """Removes the thinking that some models write before their answer, also if only its end is marked."""
    begun = text.lstrip()
    for opening, closing in _CLOSING.items():
        if begun.startswith(opening):
            return begun.partition(closing)[2].lstrip()
        # Some servers take the opening mark into the prompt, so the answer only has the closing one.
        before, mark, after = text.partition(f"{closing}\n")
        alone = not before or before.endswith("\n")
        if mark and alone and opening not in before and "```" not in before:
            return after.lstrip()
    return text


def is_thinking(text: str) -> bool:
    """Checks whether the text so far is thinking that has not ended."""
    begun = text.lstrip()
    return any(begun.startswith(opening) and closing not in begun for opening, closing in _CLOSING.items())


def may_begin_to_think(text: str) -> bool:
    """Checks whether more text may show that it is thinking."""
    begun = text.lstrip()
    return any(opening.startswith(begun) for opening in _OPENING)
