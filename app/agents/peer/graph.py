"""PeerAgent: `classify_task → route_to_agent`.

It is not in the registry, because it answers with a `Routing` instead of a text. A task that pins its agent skips it.
The executor writes both steps together with the routing decision.
"""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from app.agents.base import AgentContext, GraphAgent, journaled
from app.agents.history import to_turns
from app.agents.peer.classify import classify_task
from app.agents.peer.route import route_to_agent
from app.agents.peer.state import PeerState
from app.domain.agent import AgentCard
from app.domain.task import Routing

PEER_AGENT = "PeerAgent"
CARD = AgentCard(
    name=PEER_AGENT,
    agent_type="peer",
    description="Decides which agent should do a task.",
    version="1.0.0",
    routable=False,
)


def build_graph() -> CompiledStateGraph[PeerState, AgentContext, PeerState, PeerState]:
    graph = StateGraph(PeerState, context_schema=AgentContext)
    graph.add_node("classify_task", journaled(classify_task, agent_name=PEER_AGENT, flush=False))
    graph.add_node("route_to_agent", journaled(route_to_agent, agent_name=PEER_AGENT, flush=False))
    graph.add_edge(START, "classify_task")
    graph.add_edge("classify_task", "route_to_agent")
    graph.add_edge("route_to_agent", END)
    return graph.compile()


class PeerAgent(GraphAgent[PeerState]):
    """The router. One instance serves all tasks of a process."""

    def __init__(self) -> None:
        super().__init__(CARD, build_graph())

    async def route(self, context: AgentContext) -> Routing:
        """Chooses among `context.cards`. Raises UnknownTaskType, or the LLMError of the call."""
        state = PeerState(task=context.task.task, history=to_turns(context.history))
        final = await self.run_graph(state, context)
        return Routing.model_validate(final["routing"])
