"""The map names only places that exist, and the code uses the words of its glossary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OVERVIEW = (ROOT / "docs" / "architecture-overview.md").read_text()
PATHS = sorted(
    set(re.findall(r"`((?:app|worker|operator|tests|charts)/[\w./-]+)`", OVERVIEW)) | {".importlinter", "worker/"}
)
GLOSSARY = re.findall(r"^\| ([\w ]+) \| .+ \| `(\w+)` in `([\w/.]+)` \|$", OVERVIEW, re.MULTILINE)
ANSWERS = re.findall(r"`([\w.]+)` in `([\w/.]+\.py)`", OVERVIEW)


@pytest.mark.parametrize("path", PATHS)
def test_every_place_on_the_map_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(("identifier", "path"), ANSWERS, ids=lambda value: str(value).rpartition("/")[2])
def test_every_name_on_the_map_is_defined_in_its_file(identifier: str, path: str) -> None:
    name = identifier.rpartition(".")[2]
    defined = rf"^\s*(?:class|def|async def) {name}\b|^\s*{name}\b *[:=]|\b{name}: "
    assert re.search(defined, (ROOT / path).read_text(), re.MULTILINE)


def test_the_glossary_is_in_order_and_holds_every_word_once() -> None:
    words = [word.lower() for word, _, _ in GLOSSARY]
    assert len(words) >= 40
    assert words == sorted(set(words))


def test_every_row_of_the_glossary_was_read() -> None:
    table = OVERVIEW[OVERVIEW.index("## Glossary") :]
    assert table.count("\n| ") - 1 == len(GLOSSARY)
