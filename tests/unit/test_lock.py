"""requirements.lock: hashed, free of addresses, and in step with pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13")


def _declared() -> Iterator[Requirement]:
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        for line in group:
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) != PROJECT["name"]:
                yield requirement


def _locked() -> Iterator[Requirement]:
    for line in LOCK.splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            yield Requirement(line.removesuffix("\\").strip())


@pytest.mark.parametrize("python", PYTHONS)
def test_every_declared_package_is_locked_at_a_version_that_fits(python: str) -> None:
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    versions: dict[str, str] = {}
    for pin in _locked():
        if pin.marker is None or pin.marker.evaluate({name: str(value) for name, value in environment.items()}):
            versions[canonicalize_name(pin.name)] = next(iter(pin.specifier)).version
    wrong = [
        str(requirement)
        for requirement in _declared()
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert wrong == [], "lock again (see CONTRIBUTING.md)"


def test_every_pin_has_a_hash() -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", LOCK.strip())
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_lock_names_no_address() -> None:
    assert re.findall(r"(?i)https?://\S+|--(?:extra-)?index-url|--find-links|file:", LOCK) == []
