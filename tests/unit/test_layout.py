"""The shape of the source tree that imports, packaging and pytest rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("app", "worker", "operator/agent_operator", "tests")


def _tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603 - fixed words
    return [ROOT / line for line in listing.stdout.splitlines()]


def test_operator_folder_holds_only_its_readme_and_the_package() -> None:
    names = {path.relative_to(ROOT / "operator").parts[0] for path in _tracked("operator")}
    assert names == {"README.md", "agent_operator"}


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in _tracked(*(f"{source}/*.py" for source in SOURCES))}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_test_folder_takes_the_name_of_a_source_package() -> None:
    folders = {part for path in _tracked("tests/*.py") for part in path.relative_to(ROOT).parts[:-1]}
    assert folders.isdisjoint({"operator", "agent_operator"})


def test_no_top_level_module_shadows_the_standard_library() -> None:
    on_the_path = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in _tracked("*.py")} - {"operator"}
    on_the_path |= {path.relative_to(ROOT / "operator").parts[0] for path in _tracked("operator/*.py")}
    assert on_the_path.isdisjoint(sys.stdlib_module_names)


def test_pytest_finds_the_standard_librarys_operator() -> None:
    import operator

    assert operator.__name__ == "operator"
    assert not str(getattr(operator, "__file__", "")).startswith(str(ROOT / "operator"))
