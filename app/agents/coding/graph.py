"""CodeAgent: one node, one paid call."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from app.agents.base import AgentContext, GraphAgent, journaled, read_cut_off
from app.agents.coding.generate import generate
from app.agents.coding.state import CodeState
from app.agents.history import to_turns
from app.domain.agent import AgentCard, AgentOutput

CARD = AgentCard(
    name="CodeAgent",
    agent_type="code",
    description=(
        "Writes, explains, reviews, debugs, tests, refactors and ports source code, scripts, queries, regular "
        "expressions and configuration (YAML, JSON, Dockerfiles) in any programming language, and answers questions "
        "about programming. Its answer is code or is about code. It does not run anything."
    ),
    version="1.0.0",
)


def build_graph() -> CompiledStateGraph[CodeState, AgentContext, CodeState, CodeState]:
    graph = StateGraph(CodeState, context_schema=AgentContext)
    # Not flushed: the finish writes the step, and only CPU work separates the two.
    graph.add_node("generate", journaled(generate, agent_name=CARD.name, flush=False))
    graph.add_edge(START, "generate")
    graph.add_edge("generate", END)
    return graph.compile()


class CodeAgent(GraphAgent[CodeState]):
    """Answers with Markdown; `code_language` is the language of its code."""

    def __init__(self) -> None:
        super().__init__(CARD, build_graph())

    async def run(self, context: AgentContext) -> AgentOutput:
        state = CodeState(task=context.task.task, history=to_turns(context.history))
        final = await self.run_graph(state, context)
        return AgentOutput(
            agent_name=CARD.name,
            content=final["content"],
            code_language=final.get("code_language"),
            truncated=final.get("truncated", False),
            cut_off=read_cut_off(final),
        )
