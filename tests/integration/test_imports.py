"""The imports that a process does without, because each costs time at its start and memory for good."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("loads", "unwanted"),
    [
        pytest.param("import app.llm.provider_table", "openai anthropic aiohttp httpx", id="the table of providers"),
        pytest.param("import app.agents.testing", "pytest hypothesis tests", id="the doubles for authors of agents"),
        pytest.param(
            "import worker.assembly, app.agents.registry as registry, app.settings as settings; "
            "registry.build_registry(settings.AgentSettings())",
            "langchain langchain_core.language_models.chat_models",
            id="a worker without an agent that asks for a chat model",
        ),
    ],
)
def test_it_is_imported_without(loads: str, unwanted: str) -> None:
    script = f"import sys; {loads}; print(sorted(set('{unwanted}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - our own code
    assert done.stdout.strip() == "[]"
