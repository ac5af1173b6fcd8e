"""ContentAgent: `plan → search_web → write → check_citations`; no search if it is impossible or not needed.

The plan and the search are paid for and written at once; the text and its check are written with the finish.
"""

from __future__ import annotations

from typing import Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from app.agents.base import AgentContext, GraphAgent, journaled, read_cut_off
from app.agents.content.citations import check_citations
from app.agents.content.plan import plan
from app.agents.content.search_web import search_web
from app.agents.content.session_sources import number_session
from app.agents.content.state import ContentState
from app.agents.content.write import write
from app.domain.agent import AgentCard, AgentOutput, Citation

CARD = AgentCard(
    name="ContentAgent",
    agent_type="content",
    description=(
        "Writes text for people and works on text: articles, reports, comparisons, letters, stories, poems; answers to "
        "questions about the world; translation, summaries, proofreading; extraction of facts from a text, also as a "
        "table or as JSON; calculations; small talk. Searches the web and cites its sources where facts matter. Its "
        "answer is text or data, not source code."
    ),
    version="1.0.0",
    tools=("web_search",),
)


def build_graph() -> CompiledStateGraph[ContentState, AgentContext, ContentState, ContentState]:
    graph = StateGraph(ContentState, context_schema=AgentContext)
    graph.add_node("plan", journaled(plan, agent_name=CARD.name))
    graph.add_node("search_web", journaled(search_web, agent_name=CARD.name))
    graph.add_node("write", journaled(write, agent_name=CARD.name, flush=False))
    graph.add_node("check_citations", journaled(check_citations, agent_name=CARD.name, flush=False))
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", after_plan)
    graph.add_edge("search_web", "write")
    graph.add_edge("write", "check_citations")
    graph.add_edge("check_citations", END)
    return graph.compile()


def after_plan(state: ContentState) -> Literal["search_web", "write"]:
    return "search_web" if state["queries"] else "write"


class ContentAgent(GraphAgent[ContentState]):
    """Answers with Markdown whose `[n]` is the n-th citation."""

    def __init__(self) -> None:
        super().__init__(CARD, build_graph())

    async def run(self, context: AgentContext) -> AgentOutput:
        history, session_sources = number_session(context.history)
        state = ContentState(
            task=context.task.task,
            # Not the day of this run: a run that resumes after midnight must have the same inputs, or it pays again.
            today=context.task.created_at.date().isoformat(),
            history=history,
        )
        if session_sources:
            state["session_sources"] = session_sources
        final = await self.run_graph(state, context)
        return AgentOutput(
            agent_name=CARD.name,
            content=final["content"],
            citations=tuple(Citation(**citation) for citation in final["citations"]),
            truncated=final.get("truncated", False),
            cut_off=read_cut_off(final),
        )
