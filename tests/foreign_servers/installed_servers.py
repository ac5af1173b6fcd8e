"""The servers of `.venv-providers`, each a process of its own on a free port."""

from __future__ import annotations

import json
import signal
from contextlib import AbstractContextManager
from pathlib import Path

from tests.foreign_servers.tiny_model import write_tiny_model
from tests.support.servers import HOST, Server, http_answers, running_server

PROGRAMS = Path(__file__).parents[2] / ".venv-providers" / "bin"
LITELLM, LLAMA, FAKELLM = (PROGRAMS / name for name in ("litellm", "llama-server-vulkan", "fakellm"))
LITELLM_KEY, LLAMA_KEY = "sk-litellm", "sk-llama"
# LiteLLM imports for a quarter of a minute the first time.
_START_SECONDS = 120.0
# The names under which LiteLLM offers the simulator's models, by protocol. `listed-only` is offered and does not exist.
_OPENAI_MODELS = {"my-model": "sim-ok", "my-model:cut-off": "sim-length", "listed-only": "sim-404"}
_RESPONSES_MODELS = {"gpt-6-mine": "gpt-6-sim-ok", "gpt-6-mine:cut-off": "gpt-6-sim-length"}
_ANTHROPIC_MODELS = {"claude-mine": "claude-sim-ok", "claude-mine:cut-off": "claude-sim-length"}


def missing_server() -> str | None:
    """Returns the reason why nothing can be tested here, None if all servers are installed."""
    absent = [program.name for program in (LITELLM, LLAMA, FAKELLM) if not program.exists()]
    return f"make providers installs what is missing: {', '.join(absent)}" if absent else None


def running_litellm(simulator_url: str) -> AbstractContextManager[Server]:
    """Starts LiteLLM's proxy in front of the simulator."""

    def build(folder: Path, port: int) -> Server:
        config = folder / "litellm.json"
        config.write_text(json.dumps(_litellm_config(simulator_url)), encoding="utf-8")
        command = [str(LITELLM), "--config", str(config), "--host", HOST, "--port", str(port)]
        # Otherwise it loads its prices from the internet, three times with a pause.
        environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return Server(command, folder, f"http://{HOST}:{port}", _litellm_answers, environment, _START_SECONDS)

    return running_server(build, "ao-litellm-", stop_signal=signal.SIGTERM)


def running_llama(*, endless: bool = False) -> AbstractContextManager[Server]:
    """Starts a llama.cpp server with the tiny model; an `endless` one writes until it is cut off."""

    def build(folder: Path, port: int) -> Server:
        model = write_tiny_model(folder / "tiny.gguf", endless=endless)
        # A fixed seed: the same prompt gets the same answer in every run.
        options = ["--model", str(model), "--alias", "tiny", "--api-key", LLAMA_KEY, "--seed", "1"]
        command = [str(LLAMA), *options, "--host", HOST, "--port", str(port)]
        return Server(command, folder, f"http://{HOST}:{port}", _llama_answers)

    return running_server(build, "ao-llama-")


def running_fakellm() -> AbstractContextManager[Server]:
    """Starts fakellm with one rule; the answer to everything else is a checksum of it."""

    def build(folder: Path, port: int) -> Server:
        rules = folder / "fakellm.yaml"
        rules.write_text(json.dumps(_FAKELLM_RULES), encoding="utf-8")  # JSON is YAML
        command = [str(FAKELLM), "serve", "--config", str(rules), "--host", HOST, "--port", str(port)]
        return Server(command, folder, f"http://{HOST}:{port}", _fakellm_answers)

    return running_server(build, "ao-fakellm-", stop_signal=signal.SIGTERM)


_FAKELLM_RULES = {
    "rules": [
        {
            "name": "structured",
            "when": {"messages_contain": "structured"},
            "respond": {"content": 'Sure:\n```json\n{"city": "Oslo", "capital": true}\n```'},
        },
    ]
}


def _litellm_config(simulator_url: str) -> dict[str, object]:
    upstream = {
        "openai": (f"{simulator_url}/v1", _OPENAI_MODELS | _RESPONSES_MODELS),
        "anthropic": (simulator_url, _ANTHROPIC_MODELS),
    }
    return {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {"model": f"{vendor}/{model}", "api_base": address, "api_key": "simulated"},
            }
            for vendor, (address, models) in upstream.items()
            for name, model in models.items()
        ],
        "general_settings": {"master_key": LITELLM_KEY},
        # Otherwise it answers 429 for some seconds after each refusal, also to the next test.
        "router_settings": {"disable_cooldowns": True, "num_retries": 0},
    }


def _litellm_answers(url: str) -> bool:
    return http_answers(f"{url}/health/liveliness")


def _llama_answers(url: str) -> bool:
    return http_answers(f"{url}/health")


def _fakellm_answers(url: str) -> bool:
    return http_answers(f"{url}/_fakellm/stats")
