"""The outside world of agents: web search, and the guards around text and addresses that come from there."""
