"""The code that the simulator can write: `snippets/*.md`, a file per problem, a fenced block per language.

A file begins with `keywords: a, b`, then a paragraph of notes. `generic.md` serves every other problem.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from app.simulator.answers.reading import code_blocks

_GENERIC = "generic"
_FALLBACK_LANGUAGE = "python"
_NAMES = {
    "csharp": "C#",
    "cpp": "C++",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "sql": "SQL",
    "php": "PHP",
}


@dataclass(frozen=True)
class Snippet:
    code: str
    notes: str


@dataclass(frozen=True)
class Problem:
    name: str
    keywords: tuple[str, ...]
    notes: str
    codes: dict[str, str]


def display_name(language: str) -> str:
    return _NAMES.get(language, language.capitalize())


def find(task: str, language: str) -> Snippet:
    """Returns the snippet with the longest keyword in the task, or the generic one if no problem has that language."""
    lowered = task.lower()
    best, longest = None, 0
    for problem in problems().values():
        hit = max((len(word) for word in problem.keywords if word in lowered), default=0)
        if hit > longest and language in problem.codes:
            best, longest = problem, hit
    if best is not None:
        return Snippet(best.codes[language], best.notes)
    generic = problems()[_GENERIC]
    return Snippet(generic.codes.get(language, generic.codes[_FALLBACK_LANGUAGE]), generic.notes)


@lru_cache(maxsize=1)
def problems() -> dict[str, Problem]:
    folder = resources.files("app.simulator").joinpath("snippets")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".md"): _parse(file.name, file.read_text()) for file in files if file.is_file()}


def _parse(name: str, text: str) -> Problem:
    head, _, rest = text.partition("\n")
    notes = re.split(r"^```", rest, maxsplit=1, flags=re.M)[0]
    keywords = tuple(word.strip() for word in head.removeprefix("keywords:").split(",") if word.strip())
    codes = {block.language: block.code for block in code_blocks(rest)}
    return Problem(name.removesuffix(".md"), keywords, " ".join(notes.split()), codes)
