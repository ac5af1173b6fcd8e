"""The tree of errors is drawn as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app import errors
from app.errors import AgentOrchestratorError

NAMES = r"[A-Z]\w+(?:, [A-Z]\w+)*"
LINE = re.compile(rf"    (?P<branch>[ │├└─]*)(?P<names>{NAMES})(?: ── (?P<below>{NAMES}))?(?: {{2,}}|$)")
INDENT = 4


def drawn(tree: str) -> Iterator[tuple[str, str]]:
    """Yields each drawn class with its parent in the drawing."""
    path: dict[int, str] = {}
    for line in filter(None, map(LINE.match, tree.splitlines())):
        depth = len(line["branch"]) // INDENT
        names = line["names"].split(", ")
        path[depth] = names[-1]
        yield from ((name, path[depth - 1]) for name in names if depth)
        yield from ((name, names[-1]) for name in (line["below"] or "").split(", ") if name)


def defined(root: type[AgentOrchestratorError]) -> Iterator[tuple[str, str]]:
    """Yields each class of `app.errors` with its parent."""
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child.__name__, root.__name__
            yield from defined(child)


def test_the_drawing_shows_every_class_below_its_parent() -> None:
    assert sorted(drawn(errors.__doc__ or "")) == sorted(defined(AgentOrchestratorError))
