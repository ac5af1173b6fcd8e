"""`models` against the simulator: what a person sees when everything is right, and when one thing is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from pydantic import SecretStr

from app.broker.connections import connect_for_commands
from app.llm.dialect_book import DialectBook
from app.llm.server_dialect import FULL, Feature
from app.system_clock import SystemClock
from tests.integration.cli.command import Shell
from tests.support.servers import HOST, free_port
from tests.support.simulators import running_simulator

KEY = "sk-a-key-that-is-never-shown"
ROLES = ["router", "content", "code", "primary"]
NO_MODEL = (
    "No model can be asked for these roles: router (LLM_PEER_MODEL), content (LLM_CONTENT_MODEL), "
    "code (LLM_CODE_MODEL), primary (AGENT_PRIMARY_MODEL)"
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    with running_simulator() as server:
        yield server.url


def shell(folder: Path, simulator: str, **changed: str) -> Shell:
    """Returns a shell with a key for OpenAI alone, at the simulator, and without Redis; `changed` are settings."""
    settings = {
        "OPENAI_BASE_URL": f"{simulator}/v1",
        "OPENAI_API_KEY": KEY,
        "LLM_PEER_MODEL": "gpt-4.1-mini,gpt-6-sim-next",
        "LLM_CODE_MODEL": "gpt-6-sim-coder",
        "REDIS_URL": f"redis://{HOST}:{free_port()}/0",
        "COLUMNS": "80",
    }
    return Shell(folder, {**settings, **changed})


def hops(document: Any, role: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["roles"][role]["hops"]
    return found


def words(text: str) -> str:
    return " ".join(text.split())


def test_each_role_shows_its_models_with_what_is_known_of_them(tmp_path: Path, simulator: str) -> None:
    document = shell(tmp_path, simulator).json("models")

    assert list(document["roles"]) == ROLES
    assert all(role["can_be_asked"] for role in document["roles"].values())
    first, second = hops(document, "router")
    assert (first["name"], first["endpoint"]) == ("openai:gpt-4.1-mini", "/chat/completions")
    assert (first["reachable"], first["listed"], first["ends_at"]) == (True, True, "2027-01-14T00:00:00+00:00")
    assert (first["thinks"], first["patience_seconds"], first["price"]) == (False, 60.0, None)
    assert (second["endpoint"], second["thinks"], second["dialect"]) == ("/responses", True, None)
    assert second["price"] == {"input_usd_per_million": 0.4, "output_usd_per_million": 1.6, "source": "simulator-1"}
    assert document["providers"]["anthropic"]["left_out"] == "set ANTHROPIC_API_KEY"


def test_the_text_fits_80_columns_and_shows_no_key(tmp_path: Path, simulator: str) -> None:
    text = shell(tmp_path, simulator).ok("models")

    assert max(map(len, text.splitlines())) <= 80
    assert f"openai {simulator}/v1 answers, and lists 15 models" in words(text)
    assert "router 1 openai:gpt-4.1-mini can be asked 2 openai:gpt-6-sim-next can be asked content 1" in words(text)
    assert "ends on 2027-01-14" in words(text)
    assert "Redis (REDIS_URL) does not answer" in text
    assert KEY not in text


async def test_the_dialect_is_the_one_that_workers_have_learned(tmp_path: Path, simulator: str, redis_url: str) -> None:
    redis = connect_for_commands(SecretStr(redis_url))
    book = DialectBook(redis=redis, clock=SystemClock(), addresses=[f"{simulator}/v1", ""])
    await book.learn("openai:gpt-4.1-mini", FULL.without(Feature.STREAM_OPTIONS))
    await redis.aclose()

    first, second = hops(shell(tmp_path, simulator, REDIS_URL=redis_url).json("models"), "router")

    assert first["dialect"] == {"refused": ["stream_options"], "max_output_tokens": None}
    assert second["dialect"] == {"refused": [], "max_output_tokens": None}


def test_a_wrong_key_is_named_and_not_shown(tmp_path: Path, simulator: str) -> None:
    done = shell(tmp_path, simulator, OPENAI_API_KEY="revoked-and-secret").run("models")

    assert done.returncode == 1
    assert "the key is refused: 401 invalid_api_key" in words(done.stdout)
    assert "(is OPENAI_API_KEY right?)" in words(done.stdout)
    assert done.stderr.strip() == NO_MODEL
    assert "revoked" not in done.stdout + done.stderr


def test_a_wrong_path_names_the_setting_of_the_address(tmp_path: Path, simulator: str) -> None:
    done = shell(tmp_path, simulator, OPENAI_BASE_URL=f"{simulator}/v2").run("models")

    assert done.returncode == 1
    assert "the address cannot be used: 404 (is OPENAI_BASE_URL right?)" in words(done.stdout)
    assert done.stderr.strip() == NO_MODEL


def test_a_server_that_is_not_there_names_the_setting_of_the_address(tmp_path: Path, simulator: str) -> None:
    done = shell(tmp_path, simulator, OPENAI_BASE_URL=f"http://{HOST}:{free_port()}/v1").run("models", "--json")

    assert done.returncode == 1
    assert "no answer: ConnectError (is OPENAI_BASE_URL right?)" in done.stdout
    assert done.stderr.strip() == NO_MODEL


def test_a_second_provider_saves_the_roles_whose_first_one_refuses_the_key(tmp_path: Path, simulator: str) -> None:
    saved = {"ANTHROPIC_BASE_URL": simulator, "ANTHROPIC_API_KEY": KEY, "AGENT_FALLBACK_MODEL": "claude-sim-next"}
    document = shell(tmp_path, simulator, OPENAI_API_KEY="revoked-1", **saved).json("models")

    *refused, saving = hops(document, "router")
    assert [hop["can_be_asked"] for hop in refused] == [False, False]
    assert (saving["name"], saving["can_be_asked"]) == ("anthropic:claude-sim-next", True)
    assert (saving["endpoint"], saving["patience_seconds"]) == ("/v1/messages", 60.0)


def test_without_any_key_the_variables_to_set_are_named(tmp_path: Path) -> None:
    done = Shell(tmp_path, {"REDIS_URL": f"redis://{HOST}:{free_port()}/0"}).run("models")

    assert done.returncode == 1
    assert "openai left out: set OPENAI_API_KEY anthropic left out: set ANTHROPIC_API_KEY" in words(done.stdout)
    assert done.stderr.strip() == NO_MODEL


def start(folder: Path, simulator: str, **changed: str) -> CompletedProcess[str]:
    """Starts a stack with stores of its own, and stops it again."""
    settings = dict(shell(folder, simulator, **changed).settings)
    del settings["REDIS_URL"]
    stack = Shell(folder, settings)
    try:
        return stack.run("up", "--detach")
    finally:
        stack.ok("down")


def test_up_names_what_is_wrong_and_starts_all_the_same(tmp_path: Path, simulator: str) -> None:
    done = start(tmp_path, simulator, OPENAI_API_KEY="revoked-and-secret")

    assert done.returncode == 0, done.stderr
    assert "openai: the key is refused: 401 invalid_api_key" in done.stderr
    assert "(is OPENAI_API_KEY right?)" in done.stderr
    assert NO_MODEL in done.stderr
    assert "Agent Orchestrator is ready" in done.stdout
    assert "revoked" not in done.stdout + done.stderr


def test_up_is_silent_about_models_that_can_be_asked(tmp_path: Path, simulator: str) -> None:
    done = start(tmp_path, simulator)

    assert done.returncode == 0, done.stderr
    assert "openai" not in done.stderr
