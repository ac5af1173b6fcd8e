"""The code that the simulator can write: `snippets/*.md`, a file per problem, a fenced block per language.

A file begins with `matches:` and the regular expression of the tasks that its code solves, then a paragraph of notes.
The expression is narrow, because code for another task is worse than none. `generic.md` is for all other tasks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from app.simulator.answers.reading import code_blocks

FALLBACK_LANGUAGE = "python"
_GENERIC = "generic"
_NAMES = {
    "csharp": "C#",
    "cpp": "C++",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "sql": "SQL",
    "php": "PHP",
}


@dataclass(frozen=True)
class Solution:
    """The code for a task. `fits` is False for the sample, which solves another one."""

    language: str
    code: str
    notes: str
    fits: bool = True


@dataclass(frozen=True)
class Problem:
    """One problem, with its code by language."""

    name: str
    matches: re.Pattern[str]
    notes: str
    codes: dict[str, str]

    def hit(self, task: str) -> int:
        """Returns the length of the longest match in the task."""
        return max((len(match[0]) for match in self.matches.finditer(task)), default=0)

    def solution(self, language: str, *, fits: bool = True) -> Solution | None:
        """Returns its code in the language, else in Python, None if it has neither."""
        spoken = next((one for one in (language, FALLBACK_LANGUAGE) if one in self.codes), None)
        return None if spoken is None else Solution(spoken, self.codes[spoken], self.notes, fits)


def display_name(language: str) -> str:
    return _NAMES.get(language, language.capitalize())


def find(task: str, language: str) -> Solution:
    """Returns the solution of the problem with the longest match in the task, or the sample if there is none."""
    hits = {problem.name: problem.hit(task) for problem in problems().values()}
    for name in sorted(hits, key=lambda name: -hits[name]):
        solution = problems()[name].solution(language) if hits[name] else None
        if solution is not None:
            return solution
    sample = problems()[_GENERIC].solution(language, fits=False)
    if sample is None:
        raise LookupError("generic.md has no code in Python")
    return sample


@lru_cache(maxsize=1)
def problems() -> dict[str, Problem]:
    folder = resources.files("app.simulator").joinpath("snippets")
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".md"): _parse(file.name, file.read_text()) for file in files if file.is_file()}


def _parse(name: str, text: str) -> Problem:
    head, _, rest = text.partition("\n")
    notes = re.split(r"^```", rest, maxsplit=1, flags=re.M)[0]
    matches = re.compile(head.removeprefix("matches:").strip(), re.I)
    codes = {block.language: block.code for block in code_blocks(rest)}
    return Problem(name.removesuffix(".md"), matches, " ".join(notes.split()), codes)
