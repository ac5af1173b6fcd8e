"""An agent that is written with LangChain and whose tool kills its worker once, between two calls of the model.

`AGENT_PLUGINS` registers it. `DEATH_MARK` names the file that the death leaves behind.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from langchain.agents import create_agent

from app.agents.base import AgentContext
from app.domain.agent import AgentCard, AgentOutput
from app.llm.interface import ModelRole

DEATH_MARK = "DEATH_MARK"


def read_meter() -> str:
    """Reads the meter of the boiler."""
    mark = Path(os.environ[DEATH_MARK])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "42 bar"


class DyingAgent:
    card = AgentCard(name="DyingAgent", agent_type="dying", description="Reads a meter.", version="1", routable=False)

    async def run(self, context: AgentContext) -> AgentOutput:
        graph: Any = create_agent(context.chat_model(ModelRole.PRIMARY), tools=[read_meter])
        final = await graph.ainvoke({"messages": [("user", context.task.task)]})
        return AgentOutput(agent_name=self.card.name, content=str(final["messages"][-1].text))
