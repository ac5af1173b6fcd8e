"""requirements.lock and its parts for the images: hashed, free of addresses, in step with pyproject.toml."""

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
IMAGES = ("api", "worker", "operator", "cli")
LOCKS = {"all": LOCK} | {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "requirements").glob("*.lock"))
}
PYTHONS = ("3.11", "3.12", "3.13")
# Each has an environment of its own, beside that of the product.
SERVERS_OF_OTHERS = ("foreign-servers", "langgraph-server")
LANGGRAPH_SERVER = {"langgraph-api", "langgraph-cli", "langgraph-runtime-inmem"}


def _declared() -> Iterator[Requirement]:
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        for line in group:
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) != PROJECT["name"]:
                yield requirement


def _locked(text: str = LOCK) -> Iterator[Requirement]:
    for line in text.splitlines():
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


@pytest.mark.parametrize("text", LOCKS.values(), ids=LOCKS)
def test_every_pin_has_a_hash(text: str) -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("text", LOCKS.values(), ids=LOCKS)
def test_a_lock_names_no_address(text: str) -> None:
    assert re.findall(r"(?i)https?://\S+|--(?:extra-)?index-url|--find-links|file:", text) == []


def test_langgraphs_server_is_in_its_own_lock_alone() -> None:
    own = {canonicalize_name(pin.name) for pin in _locked(LOCKS["langgraph-server"])}
    products = (text for name, text in LOCKS.items() if name not in SERVERS_OF_OTHERS)
    held = {canonicalize_name(pin.name) for text in products for pin in _locked(text)}

    assert own >= LANGGRAPH_SERVER
    assert held & LANGGRAPH_SERVER == set()


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_the_tested_versions(image: str) -> None:
    tested = {(pin.name, str(pin.specifier)) for pin in _locked()}

    assert {(pin.name, str(pin.specifier)) for pin in _locked(LOCKS[image])} - tested == set()


@pytest.mark.parametrize(
    ("image", "foreign"),
    [
        ("api", ("langchain", "langgraph", "openai", "anthropic", "tavily", "kopf")),
        ("worker", ("fastapi", "uvicorn", "kopf")),
        (
            "operator",
            ("motor", "pymongo", "celery", "kombu", "fastapi", "langchain", "langgraph", "openai", "anthropic"),
        ),
    ],
)
def test_an_image_holds_nothing_of_the_others(image: str, foreign: tuple[str, ...]) -> None:
    held = {canonicalize_name(pin.name) for pin in _locked(LOCKS[image])}

    assert [name for name in held if name.startswith(foreign)] == []


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_all_packages_of_its_extra(image: str) -> None:
    held = {canonicalize_name(pin.name) for pin in _locked(LOCKS[image])}
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][image]]

    names = {canonicalize_name(Requirement(line).name) for line in declared}
    assert names - held - {PROJECT["name"]} == set()
