"""Docstrings begin with a verb or a noun, so that a sentence names its subject at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("app", "worker", "operator", "tests", "charts")
REFUSED = re.compile(r"(?:What|Who|Whose|Whoever|Whatever|Those|So|Of|Where|Whether|How|When|Which|That|Nothing|But)\b")
Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# An expression holds no docstring, and most nodes of a tree belong to expressions.
Block = (ast.stmt, ast.excepthandler, ast.match_case)


def _docstrings() -> Iterator[tuple[str, str]]:
    for path in sorted(file for source in SOURCES for file in (ROOT / source).rglob("*.py")):
        for node in _blocks(ast.parse(path.read_text())):
            if isinstance(node, Documented) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}:{node.body[0].lineno}", text


def _blocks(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Block):
            yield from _blocks(child)


def test_no_docstring_opens_without_its_subject() -> None:
    refused = [f"{place}: {text.splitlines()[0]}" for place, text in _docstrings() if REFUSED.match(text)]
    assert refused == []
