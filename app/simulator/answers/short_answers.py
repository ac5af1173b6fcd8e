"""Short answers that are right, and so need neither a search nor a remark: sums, translations, haikus."""

from __future__ import annotations

from app.simulator.answers.arithmetic import solve
from app.simulator.answers.haikus import write_haiku
from app.simulator.answers.reading import Intent, intent_of
from app.simulator.answers.translations import translate

_LONGEST = 300  # characters; a longer task asks for more


def answer_shortly(task: str) -> str | None:
    """Answers the task if one of the short answers is what it asks for; a program that answers it is code."""
    if len(task) > _LONGEST or intent_of(task) is Intent.CODE:
        return None
    return solve(task) or translate(task) or write_haiku(task)
