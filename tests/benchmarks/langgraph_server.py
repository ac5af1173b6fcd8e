"""LangGraph's development server (`langgraph dev`) of `.venv-langgraph`, a process of its own on a free port.

`make bench-langgraph` installs it. Paths and bodies are those of `langgraph-api` 0.16.7 (`langgraph_api/api/runs.py`).
"""

from __future__ import annotations

import json
import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from app.agents.coding.prompts import SYSTEM
from tests.benchmarks.load import CODE_TASK
from tests.support.servers import HOST, Server, http_answers, running_server

PROGRAM = Path(__file__).parents[2] / ".venv-langgraph" / "bin" / "langgraph"
GRAPHS = Path(__file__).with_name("one_call_graphs.py")
START_SECONDS = 120.0  # the first start compiles every module
ENDED = frozenset({"success", "error", "timeout", "interrupted"})


class Graph(StrEnum):
    """The graphs of `one_call_graphs.py` by their variables: one asks by langchain's model, one by a bare request."""

    CHAT_OPENAI = "chat_openai"
    BARE_REQUEST = "bare_request"


@dataclass(frozen=True)
class LangGraphApi:
    """The server's API for runs without a thread of the caller's; each keeps its result, as a task here does."""

    graph: Graph

    def build_submission(self, number: int) -> tuple[str, dict[str, Any]]:
        given = {"task": CODE_TASK.format(number=number)}
        return "/runs", {"assistant_id": self.graph.value, "input": given, "on_completion": "keep"}

    def build_waiting_submission(self, number: int) -> tuple[str, dict[str, Any]]:
        path, body = self.build_submission(number)
        return f"{path}/wait", body

    def find_path(self, accepted: dict[str, Any]) -> str:
        return f"/threads/{accepted['thread_id']}/runs/{accepted['run_id']}"

    def has_ended(self, task: dict[str, Any]) -> bool:
        return task["status"] in ENDED


def missing_server() -> str | None:
    """Returns the reason why the server cannot be started; None if it is installed."""
    return None if PROGRAM.exists() else f"{PROGRAM} does not exist; `make bench-langgraph` installs it"


def running_langgraph(simulator_url: str, *, model: str, jobs: int) -> AbstractContextManager[Server]:
    """Starts the server with the graphs and `jobs` runs at once. Raises RuntimeError if it does not start."""

    def build(folder: Path, port: int) -> Server:
        config = folder / "langgraph.json"
        graphs = {graph.value: f"{GRAPHS}:{graph.value}" for graph in Graph}
        config.write_text(json.dumps({"dependencies": ["."], "graphs": graphs, "env": {}}), encoding="utf-8")
        options = ["--no-browser", "--no-reload", "--allow-blocking", "--server-log-level", "WARNING"]
        command = [str(PROGRAM), "dev", "--config", str(config), "--host", HOST, "--port", str(port)]
        environment = {
            **_QUIET,
            "OPENAI_API_KEY": "simulated",
            "OPENAI_BASE_URL": f"{simulator_url}/v1",
            "ONE_CALL_MODEL": model,
            "ONE_CALL_SYSTEM": SYSTEM,
        }
        command += [*options, "--n-jobs-per-worker", str(jobs)]
        url = f"http://{HOST}:{port}"
        # It writes its runs into `.langgraph_api` from time to time, which no option prevents.
        return Server(command, folder, url, _answers, environment, START_SECONDS, runs_in_folder=True)

    return running_server(build, "ao-langgraph-", stop_signal=signal.SIGTERM)


# No call to the internet: no usage figures, no traces, no question for a newer version. Without a key of LangSmith or a
# licence the server sends no metadata. Addresses of this machine are asked without a proxy.
_QUIET = {
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "LANGGRAPH_CLOUD_LICENSE_KEY": "",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_API_KEY": "",
    "LANGCHAIN_API_KEY": "",
    "LOG_LEVEL": "WARNING",
    "NO_PROXY": HOST,
}


def _answers(url: str) -> bool:
    return http_answers(f"{url}/ok")
