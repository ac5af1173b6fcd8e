"""The table of languages: one name for each, and files by their endings."""

from __future__ import annotations

import pytest

from app.agents.coding.known_languages import KINDS, NAMES, Kind, find_language, find_language_of_file


def test_every_name_leads_to_one_language_and_is_written_as_it_is_looked_up() -> None:
    assert all(NAMES[name] == name for name in KINDS)
    assert set(NAMES.values()) == KINDS.keys()
    assert all(find_language(alias) == name for alias, name in NAMES.items())


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("Python", "python"),
        ("python 3.12", "python"),
        ("c++20", "cpp"),
        ("C99", "c"),
        ("Visual Basic", "vbnet"),
        ("common_lisp", "lisp"),
        ("Java 21 LTS", "java"),
        ("d3", None),
        ("German", None),
        ("", None),
    ],
)
def test_a_language_is_found_by_its_names(name: str, language: str | None) -> None:
    assert find_language(name) == language


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("src/main.rs", "rust"),
        ("C:\\work\\Program.cs", "csharp"),
        ("types.d.ts", "typescript"),
        ("Dockerfile.prod", "dockerfile"),
        ("Gemfile", "ruby"),
        ("view.m", None),
        ("notes", None),
        ("3.12", None),
    ],
)
def test_a_files_language_is_that_of_its_ending(path: str, language: str | None) -> None:
    assert find_language_of_file(path) == language


def test_shells_configuration_and_data_are_no_programs() -> None:
    around = {"bash", "powershell", "yaml", "toml", "ini", "dockerfile", "html", "css"}
    assert {KINDS[name] for name in around} == {Kind.SETTING}
    assert {KINDS[name] for name in ("json", "csv", "diff", "mermaid", "plantuml", "dot", "markdown")} == {
        Kind.MATERIAL
    }
