"""The settings of the workers of a running stack, seen from another shell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.cli.embedded.stack_plan import ConfiguredParts, build_plan
from app.cli.embedded.stack_settings import find_settings
from app.cli.embedded.state import StackStatus, StateFolder
from app.cli.embedded.store_server import embedded_store_server
from app.llm.simulated_models import CHAINS
from app.settings import GROUPS, load_settings


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for group in GROUPS.values():
        for field in group.model_fields.values():
            monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.chdir(tmp_path)


@contextmanager
def running_stack(path: Path) -> Iterator[StateFolder]:
    """Leaves behind what a running stack leaves: its plan, from the settings of now, its lock and its status."""
    folder = StateFolder(path / "state")
    folder.create()
    named = ConfiguredParts.in_settings(load_settings())
    plan = build_plan(folder, named, store=embedded_store_server(), port=18080, workers=1)
    plan.write(folder.plan)
    with folder.lock() or pytest.fail("the lock is free"):
        folder.write_status(StackStatus(supervisor_pid=1, phase="running", api_url=plan.api_url))
        yield folder


def test_without_a_stack_they_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_PEER_MODEL", "gpt-4.1")
    found = find_settings(StateFolder(tmp_path / "state"))
    assert (found.of_stack, found.other_stack, found.settings) == (False, False, load_settings())


def test_a_stack_adds_its_servers_and_the_simulators_models(tmp_path: Path) -> None:
    with running_stack(tmp_path) as folder:
        found = find_settings(folder)

    assert (found.of_stack, found.other_stack) == (True, False)
    assert found.settings.llm.peer_model == CHAINS["LLM_PEER_MODEL"]
    assert (found.settings.llm.openai_base_url or "").startswith("http://127.0.0.1:")
    assert found.settings.broker.redis_url != load_settings().broker.redis_url


def test_a_stack_with_a_key_of_the_same_shell_adds_its_redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with running_stack(tmp_path) as folder:
        found = find_settings(folder)

    assert (found.of_stack, found.other_stack) == (True, False)
    assert found.settings.llm == load_settings().llm
    assert found.settings.broker.redis_url != load_settings().broker.redis_url


def test_a_key_that_the_stack_does_not_have_is_never_sent_to_its_simulator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with running_stack(tmp_path) as folder:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        found = find_settings(folder)

    assert (found.of_stack, found.other_stack) == (False, True)
    assert found.settings.llm.openai_base_url is None


def test_a_stack_with_a_key_that_this_shell_lacks_is_another_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with running_stack(tmp_path) as folder:
        monkeypatch.delenv("OPENAI_API_KEY")
        found = find_settings(folder)

    assert (found.of_stack, found.other_stack) == (False, True)


def test_a_redis_of_ones_own_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://own.test:6379/0")
    with running_stack(tmp_path) as folder:
        found = find_settings(folder)
    assert found.settings.broker.redis_url.get_secret_value() == "redis://own.test:6379/0"
