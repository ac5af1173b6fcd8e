"""The processes of a stack, and their environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.embedded.spec import ChildSpec, StackPlan
from app.cli.embedded.stack_plan import LOCAL_DEFAULTS, SIMULATOR_KEY, ConfiguredParts, build_plan
from app.cli.embedded.state import StateFolder
from app.cli.embedded.store_server import embedded_store_server
from app.llm.simulated_models import CHAINS
from app.settings import GROUPS, load_settings


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for group in GROUPS.values():
        for field in group.model_fields.values():
            monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.chdir(tmp_path)


def _plan(tmp_path: Path, *, workers: int = 1) -> StackPlan:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    named = ConfiguredParts.in_settings(load_settings())
    store = None if named.store else embedded_store_server()
    return build_plan(folder, named, store=store, port=18080, workers=workers)


def _child(plan: StackPlan, name: str) -> ChildSpec:
    return next(child for child in plan.children if child.name == name)


def _names(plan: StackPlan) -> list[str]:
    return [child.name for child in plan.children]


def test_everything_is_embedded_when_nothing_is_named(tmp_path: Path) -> None:
    plan = _plan(tmp_path, workers=2)
    assert _names(plan) == ["valkey", "mongo", "simulator", "api", "worker-1", "worker-2"]
    assert plan.simulated == ("openai", "anthropic", "tavily")
    assert len({child.port for child in plan.children}) == 6


def test_children_are_told_where_the_embedded_parts_are(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    environment = _child(plan, "worker-1").environment
    assert environment["REDIS_URL"] == _child(plan, "valkey").url
    assert environment["MONGO_URI"] == _child(plan, "mongo").url
    assert environment["OPENAI_BASE_URL"] == _child(plan, "simulator").url + "/v1"
    assert environment["OPENAI_API_KEY"] == environment["TAVILY_API_KEY"] == SIMULATOR_KEY
    assert _child(plan, "api").environment["AGENT_API_PORT"] == "18080"


@pytest.mark.parametrize(("told", "given"), [(None, "true"), ("false", None)])
def test_the_embedded_store_gets_few_indexes_unless_the_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str | None, given: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no other database server is installed
    if told is not None:
        monkeypatch.setenv("MONGO_FEW_INDEXES", told)

    assert _child(_plan(tmp_path), "api").environment.get("MONGO_FEW_INDEXES") == given


def test_the_simulator_is_asked_for_its_own_models_unless_others_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_CODE_MODEL", "sim-slow-200")
    environment = _child(_plan(tmp_path), "worker-1").environment
    assert {name: environment.get(name) for name in CHAINS} == {**CHAINS, "LLM_CODE_MODEL": None}


def test_api_and_workers_wait_for_what_they_need(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    assert _child(plan, "api").needs == _child(plan, "worker-1").needs == ["valkey", "mongo", "simulator"]


@pytest.mark.parametrize(
    ("variable", "value", "absent"),
    [("MONGO_URI", "mongodb://db.example/", "mongo"), ("REDIS_URL", "redis://cache.example/0", "valkey")],
)
def test_named_store_is_used_in_place_of_the_embedded_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, absent: str
) -> None:
    monkeypatch.setenv(variable, value)
    plan = _plan(tmp_path)
    assert absent not in _names(plan)
    assert variable not in _child(plan, "api").environment, "the child reads it from its own environment"


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY"])
def test_real_provider_ends_all_simulated_models_and_searches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:4000/v1")
    plan = _plan(tmp_path)
    assert plan.simulated == ()
    assert "simulator" not in _names(plan)
    assert not [
        name for name in _child(plan, "worker-1").environment if name.startswith(("OPENAI", "ANTHROPIC", "LLM"))
    ]


def test_search_key_alone_leaves_the_models_simulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAVILY_API_KEY", "tvly-something")
    plan = _plan(tmp_path)
    assert plan.simulated == ("openai", "anthropic")
    assert "TAVILY_BASE_URL" not in _child(plan, "worker-1").environment


def test_names_in_the_env_file_count_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MONGO_URI=mongodb://db.example/\nOPENAI_API_KEY=sk-something\n")
    assert _names(_plan(tmp_path)) == ["valkey", "api", "worker-1"]


def test_local_defaults_give_way_to_what_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _child(_plan(tmp_path), "api").environment["API_RATE_LIMIT_PER_MINUTE"] == "6000"
    monkeypatch.setenv("API_RATE_LIMIT_PER_MINUTE", "7")
    assert "API_RATE_LIMIT_PER_MINUTE" not in _child(_plan(tmp_path), "api").environment


def test_plan_survives_its_file_and_holds_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONGO_URI", "mongodb://user:hidden-word@db.example/")
    plan = _plan(tmp_path)
    plan.write(tmp_path / "plan.json")
    StackPlan.read(tmp_path / "plan.json").write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "plan.json").read_text()
    assert "hidden-word" not in (tmp_path / "plan.json").read_text()
    assert (tmp_path / "plan.json").stat().st_mode & 0o077 == 0


def test_no_model_is_simulated_if_a_chain_names_one_that_is_asked_through_langchain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_CODE_MODEL", "azure:my-deployment")
    plan = _plan(tmp_path)
    assert "simulator" not in _names(plan)
    assert plan.simulated == ()


def test_the_page_of_the_command_line_lists_the_local_defaults() -> None:
    page = (Path(__file__).parents[4] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert {name: f"| `{name}` | {value} |" in page for name, value in LOCAL_DEFAULTS.items()} == dict.fromkeys(
        LOCAL_DEFAULTS, True
    )


def test_a_worker_counts_as_ready_when_it_takes_tasks(tmp_path: Path) -> None:
    assert _child(_plan(tmp_path), "worker-1").path == "/ready"
