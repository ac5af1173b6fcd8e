"""The table of providers is complete, and every other place that lists providers has all of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.llm.provider_table import PROVIDERS, Provider, ProviderSpec, owner_of
from app.settings import LLMSettings, ProviderSettings
from app.settings.catalogue import PROVIDER_KEYS
from app.simulator.chat import ChatCompletions
from app.simulator.credentials import PROVIDERS as SIMULATED
from app.simulator.messages import Messages
from app.telemetry.logs import NOISY

ROOT = Path(__file__).parents[3]
CHART = "charts/agent-orchestrator"
SEARCH_KEY = "TAVILY_API_KEY"
# By SDK, the simulator's dialect of its protocol: the simulator shares no code with the product, so it has no table.
DIALECTS: dict[str, type[ChatCompletions | Messages]] = {"openai": ChatCompletions, "anthropic": Messages}
each_provider = pytest.mark.parametrize("provider", Provider, ids=str)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def sdk_of(spec: ProviderSpec) -> str:
    """Returns the SDK's package, after which the module of `app.llm.providers` is named."""
    return spec.load().__module__.rpartition(".")[2]


def test_every_provider_has_an_entry() -> None:
    assert set(PROVIDERS) == set(Provider), "add the provider to PROVIDERS in app/llm/provider_table.py"


def test_reading_the_table_imports_no_sdk() -> None:
    check = (
        "import sys, app.llm.provider_table; print([n for n in ('openai', 'anthropic', 'aiohttp') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603  this interpreter
    assert done.stdout.strip() == "[]"


@each_provider
def test_provider_has_its_settings(provider: Provider) -> None:
    for name in ProviderSettings.model_fields:
        field = f"{provider}_{name}"
        assert field in LLMSettings.model_fields, f"add {field} to LLMSettings in app/settings/llm.py"
    alias = LLMSettings.model_fields[f"{provider}_api_key"].validation_alias
    assert alias == PROVIDERS[provider].key_variable, "key_variable is the alias of the setting"


@each_provider
def test_provider_is_in_the_chart(provider: Provider) -> None:
    key = PROVIDERS[provider].key_variable
    listed = re.search(r'define "ao.providerKeys" -}}\n(\[.*\])', read(f"{CHART}/templates/_secrets.tpl"))
    assert listed is not None
    assert key in json.loads(listed[1]), f"add {key} to ao.providerKeys in {CHART}/templates/_secrets.tpl"
    schema = json.loads(read(f"{CHART}/values.schema.json"))
    inline = schema["properties"]["secrets"]["properties"]["inline"]["properties"]["providers"]["properties"]
    assert key in inline, f"add {key} to secrets.inline.providers in {CHART}/values.schema.json"


def test_keys_of_the_settings_are_those_of_the_table_and_of_the_search() -> None:
    assert {spec.key_variable for spec in PROVIDERS.values()} | {SEARCH_KEY} == PROVIDER_KEYS


@each_provider
def test_provider_has_its_protocol_in_the_simulator(provider: Provider) -> None:
    sdk = sdk_of(PROVIDERS[provider])
    assert sdk in DIALECTS, f"write a dialect for {sdk} in app/simulator, route it in server.py, and name it here"
    assert DIALECTS[sdk].provider in SIMULATED, f"add {sdk} to _REFUSALS in app/simulator/credentials.py"


@each_provider
def test_provider_is_in_the_files_for_its_users(provider: Provider) -> None:
    key = PROVIDERS[provider].key_variable
    assert key in read("compose.models.yaml"), f"pass {key} to the worker in compose.models.yaml"
    assert f"`{key}`" in read("docs/config-reference.md"), "run `make docs`: docs/config-reference.md is out of date"


@each_provider
def test_sdk_is_installed_gated_and_quiet(provider: Provider) -> None:
    sdk = sdk_of(PROVIDERS[provider])
    assert re.search(rf'"{sdk}[\[>=<]', read("pyproject.toml")), f"add {sdk} to the extra `worker` in pyproject.toml"
    assert f"app.llm.** -> {sdk}" in read(".importlinter"), f"add {sdk} to the contract gate-langchain in .importlinter"
    assert sdk in NOISY, f"add {sdk} to NOISY in app/telemetry/logs.py: at info its logger repeats every request"


@pytest.mark.parametrize(
    ("model", "owner"),
    [("gpt-4.1", Provider.OPENAI), ("claude-sonnet-5", Provider.ANTHROPIC), ("llama3", None), ("opal", None)],
)
def test_name_of_a_model_shows_its_provider(model: str, owner: Provider | None) -> None:
    assert owner_of(model) is owner
