"""The names of the simulator's models, the only ones that have its declared price.

`agent-orchestrator up`, compose.yaml and the chart set these names wherever the simulator answers, so that a demo shows
costs. The simulator itself answers under every name. A server of one's own must not get the price of a demo, so a name
counts only if it is listed here letter by letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# By setting. `gpt-6-…` is asked over the responses endpoint and `claude-…` over Anthropic's protocol, as the real
# models of these roles are.
CHAINS: Mapping[str, str] = MappingProxyType(
    {
        "LLM_PEER_MODEL": "sim-router",
        "LLM_CONTENT_MODEL": "sim-writer",
        "LLM_CODE_MODEL": "gpt-6-sim-coder",
        "AGENT_PRIMARY_MODEL": "sim-primary",
        "AGENT_FALLBACK_MODEL": "gpt-6-sim-next,claude-sim-next",
    }
)
# For tests: a model of each protocol whose name asks for no fault.
_PLAIN = ("sim-ok", "gpt-6-sim-ok", "claude-sim-ok")
SIMULATED_MODELS = frozenset(_PLAIN).union(*(chain.split(",") for chain in CHAINS.values()))
